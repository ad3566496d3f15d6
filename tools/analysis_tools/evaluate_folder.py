r"""Measure the results of any method, from files, as tools/test.py does.

REDS4 by the published protocol, with results in results/<clip>/<frame>.png:

    python tools/analysis_tools/evaluate_folder.py results data/REDS/train_sharp \
        --ann-file data/REDS/REDS4.txt --name EDVR --out work_dirs/edvr

Each side may be a video, a folder of images, or a folder of these. The ground truth of
GoPro is 'data/GoPro/test/{clip}/sharp'.
"""

import argparse
from pathlib import Path

import torch
from mmengine.config import Config

import fmanet_mm.openmmlab  # noqa: F401
from fmanet_mm.evaluation import evaluate_folders
from fmanet_mm.evaluation.arguments import add_protocol_arguments
from fmanet_mm.utils.names import print_any_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results', help='restored frames')
    parser.add_argument('targets', help='ground truth')
    add_protocol_arguments(parser)
    parser.add_argument(
        '--name', help='name of the method (default: that of the folder)'
    )
    parser.add_argument(
        '--flow-config',
        type=Path,
        help='config file with the `flow_estimator` that sorts frames by motion '
        '(default: configs/_base_/flow/dis.py; the paper uses raft.py)',
    )
    parser.add_argument(
        '--no-motion', action='store_true', help='do not group frames by motion'
    )
    parser.add_argument(
        '--lpips-net', choices=['alex', 'vgg', 'squeeze'], default='alex'
    )
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    parser.add_argument(
        '--out', type=Path, help='folder for evaluation.json and evaluation.md'
    )
    return parser.parse_args()


def main() -> None:
    print_any_name()
    options = vars(parse_args())
    out, config = options.pop('out'), options.pop('flow_config')
    if options.pop('no_motion'):
        options['motion'] = None
    elif config:
        options['motion'] = Config.fromfile(config).flow_estimator.to_dict()
    report = evaluate_folders(**options)
    print(report.table(), report.header(), report.row(), sep='\n')
    if out:
        print('Written:', *report.save(out))


if __name__ == '__main__':
    main()
