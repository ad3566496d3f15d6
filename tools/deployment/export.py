"""Export a network of stage 2 for use without its config.

    python tools/deployment/export.py CONFIG CHECKPOINT fmanet.onnx

The ending of the output names the format:

    .safetensors  weights and the settings of the network; no code, all features
    .onnx         for ONNX Runtime and its like
    .pt2          for torch.export.load
"""

import argparse

from fmanet_mm.export import export_network
from fmanet_mm.restoration import load_network
from fmanet_mm.utils.names import print_any_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of stage 2, by path or by name')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('out', help='file to write: .safetensors, .onnx or .pt2')
    parser.add_argument(
        '--half',
        action='store_true',
        help='round the weights to float16, for half the size (.safetensors)',
    )
    return parser.parse_args()


def main() -> None:
    print_any_name()
    args = parse_args()
    network = load_network(args.checkpoint, args.config)
    difference = export_network(network, args.out, args.half)
    print(f'wrote {args.out}; its frames differ by up to {difference:.1g} of white')


if __name__ == '__main__':
    main()
