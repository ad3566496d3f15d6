#!/usr/bin/env bash
# Make the tested Python environment, or bring it up to date. Safe to run again.
#   bash tools/setup_env.sh          everything: restoring, training, export, tests
#   bash tools/setup_env.sh light    only what restoring needs
# FMANET_VENV   folder of the virtual environment (default: .venv of the checkout)
# PYTHON        CPython 3.10, 3.11 or 3.12 to make it with (default: the first found of
#               python3.11, python3.12, python3.10, python3)
# LIGHT=1       the same as the argument `light`
# CPU_ONLY=1|0  PyTorch without or with CUDA, if the package index offers both (default:
#               without, if there is no NVIDIA GPU)
# FULL_MMCV=1   build mmcv with all of its operators from source: takes a C++ compiler,
#               15 minutes more, and an older PyTorch
# FORCE_CUDA=1  with FULL_MMCV=1: build them for CUDA too; needs the CUDA toolkit that
#               this PyTorch was built with
set -euo pipefail
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=${FMANET_VENV:-$REPO/.venv}
[[ $VENV == /* ]] || VENV=$PWD/$VENV
cd "$REPO"

VENV_PYTHON=$VENV/bin/python
STAMP=$VENV/fmanet-setup.stamp
LOG=$VENV/fmanet-setup.log

say() { printf '%s\n' "$@"; }
die() { printf 'setup_env: %s\n' "$@" >&2; exit 1; }

case ${1:-} in
    light) LIGHT=1 ;;
    '') LIGHT=${LIGHT:-0} ;;
    *) die "unknown argument $1; the only one there is: light" ;;
esac
FULL_MMCV=${FULL_MMCV:-0}
[[ $LIGHT$FULL_MMCV != 11 ]] || die 'restoring needs no mmcv: LIGHT=1 or FULL_MMCV=1, not both'

CONSTRAINTS=requirements/constraints.txt
NEEDED_GB=9
STEPS=4
if [[ $LIGHT == 1 ]]; then
    NEEDED_GB=7
    STEPS=4
elif [[ $FULL_MMCV == 1 ]]; then
    CONSTRAINTS=requirements/constraints-full-mmcv.txt
    STEPS=7
fi

# pip's build environments of other packages obey the constraints too. The path is
# relative because pip splits this variable at spaces.
export PIP_CONSTRAINT=$CONSTRAINTS
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
unset PYTHONPATH

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.10 python3; do
        if "$candidate" -c '' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
        [[ -z ${PYTHON:-} ]] || die "PYTHON=$PYTHON does not run"
    done
    die 'no python3 found; install CPython 3.11, or name one: PYTHON=/path/to/python3.11'
}

check_version() {  # check_version PYTHON ADVICE
    local found
    found=$("$1" -c 'import platform as p; print(p.python_implementation(), p.python_version())')
    [[ $found =~ ^CPython\ 3\.1[012]\. ]] || [[ $LIGHT == 1 && $found == 'CPython 3.13.'* ]] ||
        die "$1 is $found; the tested set needs CPython 3.10, 3.11 or 3.12" "$2"
}

check_machine() {  # check_machine PYTHON: everything that would fail later on
    "$1" -c 'import venv, ensurepip' 2>/dev/null ||
        die "$1 cannot make virtual environments; on Debian: apt install python3-venv"
    if [[ $FULL_MMCV == 1 ]]; then
        command -v c++ >/dev/null || command -v g++ >/dev/null ||
            die 'no C++ compiler found to build mmcv with; on Debian: apt install g++'
        "$1" -c 'import os, sysconfig as s; open(os.path.join(s.get_path("include"), "Python.h"))' 2>/dev/null ||
            die "the headers of $1 are missing (Python.h); on Debian: apt install python3-dev"
    fi

    local folder=$VENV free_kb needed_gb=$NEEDED_GB
    [[ ! -d $VENV ]] || needed_gb=$(( NEEDED_GB - $(du -sk "$VENV" | cut -f1) / 1048576 ))
    while [[ ! -d $folder ]]; do folder=$(dirname "$folder"); done
    free_kb=$(df -Pk "$folder" | awk 'NR == 2 {print $4}')
    (( free_kb >= needed_gb * 1048576 )) ||
        die "$folder has $(( free_kb / 1048576 )) GB free; about $needed_gb GB are needed" \
            'Make room, or put the environment elsewhere: FMANET_VENV=/path/to/folder'
}

fingerprint() {
    {
        "$VENV_PYTHON" -V
        echo "$REPO $LIGHT $FULL_MMCV ${FORCE_CUDA:-0} ${CPU_ONLY:-}"
        cat requirements/*.txt setup.py pyproject.toml tools/setup_env.sh
    } | cksum
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
        die "step $CURRENT ($1) failed after $(( SECONDS - start )) s" "Full log: $LOG"
    fi
}

pip() { "$VENV_PYTHON" -m pip "$@"; }

install() { pip install -c "$CONSTRAINTS" "$@"; }

pinned() { sed -n "s/^$1==//p" "$CONSTRAINTS"; }

wants_cpu_only() {
    [[ $(uname -s) == Linux && $FULL_MMCV != 1 && ${CPU_ONLY:-1} == 1 ]] || return
    [[ ${CPU_ONLY:-} == 1 ]] || ! nvidia-smi -L >/dev/null 2>&1
}

install_torch() {
    local cpu_only=("torch==$(pinned torch)+cpu") default=(torch)
    if [[ $LIGHT != 1 ]]; then
        cpu_only+=("torchvision==$(pinned torchvision)+cpu")
        default+=(torchvision)
    fi
    # Saves gigabytes. Few package indexes have such builds, and they must match.
    if wants_cpu_only && install "${cpu_only[@]}"; then
        return
    fi
    install "${default[@]}"
}

install_build_tools() { install --upgrade pip setuptools wheel ninja; }

build_mmcv() {
    # mmcv's setup looks for a GPU, and then for a CUDA compiler.
    [[ ${FORCE_CUDA:-0} == 1 ]] || local -x CUDA_VISIBLE_DEVICES=''
    local cores
    cores=$(nproc)
    # A compiler takes up to 2 GB.
    local -x MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(( cores < 8 ? cores : 8 ))}
    install --no-build-isolation --no-deps "$@" mmcv
}

mmcv_loads() { "$VENV_PYTHON" -c 'import mmcv.ops' >>"$LOG" 2>&1; }

install_mmcv() {
    pip uninstall -y mmcv-lite
    if [[ ${FORCE_CUDA:-0} == 1 ]]; then
        build_mmcv --no-cache-dir
        return
    fi
    build_mmcv || return
    # The one in pip's cache may have been built for another PyTorch.
    mmcv_loads || build_mmcv --no-cache-dir --force-reinstall
}

install_rest() {
    if [[ $LIGHT == 1 ]]; then
        install setuptools -r requirements/light.txt
        return
    fi
    local train=requirements/train.txt
    if [[ $FULL_MMCV == 1 ]]; then
        train=$VENV/fmanet-train.txt
        grep -v '^mmcv-lite' requirements/train.txt >"$train"
    elif pip show -qq mmcv; then
        # Both would write to one folder.
        pip uninstall -y mmcv mmcv-lite || return
    fi
    install setuptools -r requirements/light.txt -r "$train" -r requirements/export.txt \
        -r requirements/tests.txt
}

# Several OpenCV wheels share the folder cv2 and the last one wins. Let it be the one
# that needs no display libraries.
install_opencv() { install --force-reinstall --no-deps opencv-python-headless; }

install_package() { install --no-build-isolation --no-deps -e . && install_opencv; }

verify() {
    if [[ $LIGHT == 1 ]]; then
        "$VENV_PYTHON" tools/verify_env.py light
    else
        "$VENV_PYTHON" tools/verify_env.py
    fi && pip check
}

install_all() {
    rm -f "$STAMP"
    if [[ $FULL_MMCV == 1 ]]; then
        say 'Building mmcv takes about 15 minutes on 2 cores.'
        step 'pip, setuptools, wheel' install_build_tools
    fi
    step 'PyTorch' install_torch
    if [[ $FULL_MMCV == 1 ]]; then
        step 'numpy, psutil' install numpy psutil
        step 'mmcv with its operators (compiles for minutes)' install_mmcv
    fi
    if [[ $LIGHT == 1 ]]; then
        step 'what restoring needs' install_rest
    else
        step 'mmagic, mmflow and everything else' install_rest
    fi
    step 'fmanet_mm itself, editable' install_package
    step 'verify' verify
    fingerprint >"$STAMP"
}

if [[ -x $VENV_PYTHON ]]; then
    check_version "$VENV_PYTHON" "Remove $VENV, or use another folder: FMANET_VENV=..."
elif [[ -d $VENV && ! -e $VENV/pyvenv.cfg && -n $(ls -A "$VENV") ]]; then
    die "$VENV is not a virtual environment and not empty; it is left alone" \
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
