#!/usr/bin/env bash
# Make the tested Python environment, or bring it up to date. Safe to run again.
#   bash tools/setup_env.sh
# FMANET_VENV   folder of the virtual environment (default: .venv of the checkout)
# PYTHON        CPython 3.11 to make it with (default: python3.11, else python3)
# FORCE_CUDA=1  build mmcv's operators for CUDA too; needs the CUDA toolkit that torch
#               was built with. Without it they run on the CPU, which is all we use.
set -euo pipefail
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$(realpath -m "${FMANET_VENV:-$REPO/.venv}")
cd "$REPO"

CONSTRAINTS=requirements/constraints.txt
NEEDED_GB=10
STEPS=6
VENV_PYTHON=$VENV/bin/python
STAMP=$VENV/fmanet-setup.stamp
LOG=$VENV/fmanet-setup.log

# pip's build environments of other packages obey the constraints too. The path is
# relative because pip splits this variable at spaces.
export PIP_CONSTRAINT=$CONSTRAINTS
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
unset PYTHONPATH

say() { printf '%s\n' "$@"; }
die() { printf 'setup_env: %s\n' "$@" >&2; exit 1; }

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3; do
        if "$candidate" -c '' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
        [[ -z ${PYTHON:-} ]] || die "PYTHON=$PYTHON does not run."
    done
    die 'no python3 found. Install CPython 3.11, or name it: PYTHON=/path/to/python3.11'
}

check_version() {  # check_version PYTHON ADVICE
    local found
    found=$("$1" -c 'import platform as p; print(p.python_implementation(), p.python_version())')
    [[ $found == 'CPython 3.11.'* ]] ||
        die "$1 is $found; the tested set needs CPython 3.11." "$2"
}

check_machine() {  # check_machine PYTHON: everything that would fail later on
    "$1" -c 'import venv, ensurepip' 2>/dev/null ||
        die "$1 cannot make virtual environments. On Debian: apt install python3.11-venv"
    command -v c++ >/dev/null || command -v g++ >/dev/null ||
        die 'no C++ compiler found; mmcv is built from source. On Debian: apt install g++'
    "$1" -c 'import os, sysconfig as s; open(os.path.join(s.get_path("include"), "Python.h"))' 2>/dev/null ||
        die "the headers of $1 are missing (Python.h). On Debian: apt install python3.11-dev"

    local folder=$VENV free_kb needed_gb=$NEEDED_GB
    [[ ! -d $VENV ]] || needed_gb=$(( NEEDED_GB - $(du -sk "$VENV" | cut -f1) / 1048576 ))
    while [[ ! -d $folder ]]; do folder=$(dirname "$folder"); done
    free_kb=$(df -Pk "$folder" | awk 'NR == 2 {print $4}')
    (( free_kb >= needed_gb * 1048576 )) ||
        die "$folder has $(( free_kb / 1048576 )) GB free; about $needed_gb GB are needed." \
            'Make room, or put the environment elsewhere: FMANET_VENV=/path/to/folder'
}

fingerprint() {
    {
        "$VENV_PYTHON" -V
        echo "$REPO ${FORCE_CUDA:-0}"
        cat requirements/*.txt setup.py pyproject.toml tools/setup_env.sh
    } | sha256sum
}

step() {  # step DESCRIPTION COMMAND...: its output goes to the log
    local start=$SECONDS
    CURRENT=$(( ${CURRENT:-0} + 1 ))
    printf '[%d/%d] %s ... ' "$CURRENT" "$STEPS" "$1"
    printf '\n### %s\n' "$*" >>"$LOG"
    if "${@:2}" >>"$LOG" 2>&1; then
        say "$(( SECONDS - start )) s"
    else
        say 'failed'
        tail -n 15 "$LOG" >&2
        die "step $CURRENT ($1) failed after $(( SECONDS - start )) s." "Full log: $LOG"
    fi
}

pip() { "$VENV_PYTHON" -m pip "$@"; }

upgrade_pip() { pip install -c "$CONSTRAINTS" --upgrade pip setuptools wheel; }

install_torch() { pip install -c "$CONSTRAINTS" torch torchvision numpy ninja psutil; }

install_mmcv() {
    # mmcv's setup looks for a GPU, and then for a CUDA compiler.
    [[ ${FORCE_CUDA:-0} == 1 ]] || local -x CUDA_VISIBLE_DEVICES=''
    local cores
    cores=$(nproc)
    # A compiler takes up to 2 GB.
    local -x MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(( cores < 8 ? cores : 8 ))}
    pip install -c "$CONSTRAINTS" --no-build-isolation --no-deps "$@" mmcv
}

install_rest() {
    pip install -c "$CONSTRAINTS" -r requirements/runtime.txt -r requirements/export.txt \
        -r requirements/tests.txt &&
        # Several OpenCV wheels share the folder cv2 and the last one wins. Let it be
        # the one that needs no display libraries.
        pip install -c "$CONSTRAINTS" --force-reinstall --no-deps opencv-python-headless
}

mmcv_loads() { "$VENV_PYTHON" -c 'import mmcv.ops' >>"$LOG" 2>&1; }

install_package() { pip install -c "$CONSTRAINTS" --no-build-isolation --no-deps -e .; }

verify() { "$VENV_PYTHON" tools/verify_env.py && pip check; }

install_all() {
    say 'Installing takes about 20 minutes on 2 cores, most of it building mmcv;' \
        'about 3 once pip has the wheel.'
    rm -f "$STAMP"
    step 'pip, setuptools, wheel' upgrade_pip
    step 'torch, torchvision, numpy' install_torch
    if [[ ${FORCE_CUDA:-0} == 1 ]]; then
        step 'mmcv with its operators, for CUDA' install_mmcv --no-cache-dir
    else
        step 'mmcv with its operators (compiles for minutes)' install_mmcv
    fi
    step 'mmagic, mmflow and everything else' install_rest
    if ! mmcv_loads; then
        say 'The mmcv in the cache of pip was built for another torch: building it anew.'
        STEPS=$(( STEPS + 1 ))
        step 'mmcv once more' install_mmcv --no-cache-dir --force-reinstall
    fi
    step 'fmanet_mm itself, editable' install_package
    step 'verify' verify
    fingerprint >"$STAMP"
}

if [[ -x $VENV_PYTHON ]]; then
    check_version "$VENV_PYTHON" "Remove $VENV, or use another folder: FMANET_VENV=..."
elif [[ -d $VENV && ! -e $VENV/pyvenv.cfg && -n $(ls -A "$VENV") ]]; then
    die "$VENV is not a virtual environment and not empty; it is left alone." \
        'Use another folder: FMANET_VENV=...'
else
    BASE_PYTHON=$(find_python)
    check_version "$BASE_PYTHON" 'Name another one: PYTHON=/path/to/python3.11'
    check_machine "$BASE_PYTHON"
    say "Making a virtual environment in $VENV with $BASE_PYTHON"
    "$BASE_PYTHON" -m venv "$VENV" || die "could not make $VENV"
fi

if [[ -f $STAMP && $(<"$STAMP") == "$(fingerprint)" ]]; then
    say "The environment in $VENV is up to date."
    STEPS=1
    step 'verify' verify
else
    check_machine "$VENV_PYTHON"
    install_all
fi
say "Ready after $SECONDS s, $(du -sh "$VENV" | cut -f1) in $VENV." \
    "To use it: source $VENV/bin/activate"
