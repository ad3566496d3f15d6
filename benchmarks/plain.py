"""FMA-Net (CVPR 2024, arXiv 2401.03707): the complete network in one file.

Given T blurry low-resolution frames, it restores the centre frame, sharp and four
times as large. Two networks of the same build do it (RefinementNet):

1) PlainNetD learns the degradation. For every pixel it estimates how the sharp frames
   have moved and with which kernel they were blurred and downsampled. Training makes
   it reproduce the blurry frame from the sharp ones.
2) PlainNetR restores. Guided by what NetD has estimated, it predicts a kernel for every
   output pixel and adds the detail that filtering cannot give.

Notable:
- Motion is a set of n flow fields with a mask each, "flow-mask pairs". Features are
  warped by all n: every pair moves its own group of channels (masked_warp).
- The pairs start coarse and are corrected in every FRMA block (FRMA.forward), by
  looking at the features that they have aligned so far.
- Kernels differ from pixel to pixel and act on frames that were warped first ("flow-
  guided dynamic filtering"), so small kernels cover large motion (degrade, filter).
- Attention is between channels, not pixels: its map is C x C for any frame size
  (Attention).

This file uses only torch. It computes everything the direct way: 1x3x3 convolutions of
complete windows, dense concatenations, dynamic filters by unfold, and the outputs that
only training needs. It is therefore the reference that the package is compared to, for
its outputs and for its speed. Parameters have the authors' names, so their weights
load into it.

Arrays are (B, C, T, H, W): batch, channels, frames, height, width. The scale is 4.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# -----------------------------------------------------------------------------
# Small pieces: convolutions, warps, patches


def conv3d(in_channels: int, out_channels: int, bias: bool = False) -> nn.Conv3d:
    """A 3x3 convolution of every frame; frames do not mix."""
    return nn.Conv3d(in_channels, out_channels, (1, 3, 3), padding=(0, 1, 1), bias=bias)


def conv_pair(in_channels: int, hidden_channels: int, out_channels: int):
    """The form of all heads: two convolutions with a LeakyReLU between."""
    return nn.Sequential(
        conv3d(in_channels, hidden_channels),
        nn.LeakyReLU(0.2),
        conv3d(hidden_channels, out_channels),
    )


def over_frames(x: Tensor, frames: int) -> Tensor:
    """Repeat (B, C, H, W) to (B, C, T, H, W)."""
    return x.unsqueeze(2).repeat(1, 1, frames, 1, 1)


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """Sample (B, C, H, W) bilinearly at p + flow(p), flow (B, 2, H, W) in pixels."""
    size = x.shape[:-3:-1]  # width, height
    # Half precision is too coarse for positions.
    kind = dict(device=x.device, dtype=torch.promote_types(flow.dtype, torch.float32))
    axes = (torch.linspace(-1, 1, n, **kind) for n in size)
    identity = torch.stack(torch.meshgrid(*axes, indexing='xy'))
    per_pixel = torch.tensor([2 / max(n - 1, 1) for n in size], **kind)
    grid = (identity + flow * per_pixel.view(2, 1, 1)).permute(0, 2, 3, 1)
    return F.grid_sample(x, grid, align_corners=True)


def masked_warp(x: Tensor, flow_masks: Tensor) -> Tensor:
    """Warp and mask each of n groups of channels by a flow-mask pair of its own.

    The flow leads from a pixel of the centre frame to where it is in the other frame.

    Args:
        x (Tensor): (B, C, T, H, W).
        flow_masks (Tensor): n times flow x, flow y, mask logit: (B, 3n, T, H, W).
    """
    batch, _, frames, height, width = x.shape
    groups = flow_masks.size(1) // 3
    pairs = flow_masks.reshape(batch * groups, 3, frames, height, width)
    pairs = pairs.transpose(1, 2).reshape(-1, 3, height, width)
    parts = x.reshape(batch * groups, -1, frames, height, width)
    parts = parts.transpose(1, 2).reshape(pairs.size(0), -1, height, width)
    warped = warp(parts, pairs[:, :2]) * torch.sigmoid(pairs[:, 2:])
    warped = warped.reshape(batch * groups, frames, -1, height, width)
    return warped.transpose(1, 2).reshape(x.shape)


def unfold(x: Tensor, kernel_size: int, stride: int) -> Tensor:
    """Patches of (B, C, T, H', W'), padded by replication: (B, C, T*k*k, H, W)."""
    batch, channels, frames, height, width = x.shape
    folded = x.transpose(1, 2).reshape(-1, channels, height, width)
    padded = F.pad(folded, ((kernel_size - stride) // 2,) * 4, mode='replicate')
    patches = F.unfold(padded, kernel_size, stride=stride)
    patches = patches.reshape(batch, frames, channels, kernel_size**2, -1)
    return patches.transpose(1, 2).reshape(
        batch, channels, -1, height // stride, width // stride
    )


# -----------------------------------------------------------------------------
# Features of single frames: residual dense blocks


class DenseLayer(nn.Module):
    """Append ``growth`` channels that are computed from all channels so far."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.conv = conv3d(in_channels, growth)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, F.leaky_relu(self.conv(x), 0.2)), dim=1)


class RDB(nn.Module):
    """Residual dense block."""

    def __init__(self, channels: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            *(DenseLayer(channels + i * growth, growth) for i in range(layers))
        )
        self.conv = nn.Conv3d(channels + layers * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.layer(x)) + x


class RRDB(nn.Module):
    """Residual dense blocks in a row; the outputs of all are fused."""

    def __init__(self, channels: int, growth: int, layers: int, blocks: int) -> None:
        super().__init__()
        self.RDBs = nn.ModuleList(RDB(channels, growth, layers) for _ in range(blocks))
        self.conv = nn.Sequential(
            nn.Conv3d(channels * blocks, channels, 1, bias=False),
            conv3d(channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        feature, features = x, []
        for rdb in self.RDBs:
            feature = rdb(feature)
            features.append(feature)
        return self.conv(torch.cat(features, dim=1)) + x


# -----------------------------------------------------------------------------
# Attention, of the window's feature (B, C, H, W)


class ChannelNorm(nn.Module):
    """The weights of a LayerNorm over channels, (B, HW, C)."""

    def __init__(self, channels: int, with_bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if with_bias else None

    def forward(self, x: Tensor) -> Tensor:
        variance = x.var(-1, keepdim=True, unbiased=False)
        if self.bias is None:
            # As in Restormer: the mean is not subtracted.
            return x / torch.sqrt(variance + 1e-5) * self.weight
        mean = x.mean(-1, keepdim=True)
        return (x - mean) / torch.sqrt(variance + 1e-5) * self.weight + self.bias


class LayerNorm(nn.Module):
    """Layer norm over the channels of (B, C, H, W)."""

    def __init__(self, channels: int, kind: str) -> None:
        super().__init__()
        self.body = ChannelNorm(channels, kind == 'WithBias')

    def forward(self, x: Tensor) -> Tensor:
        normed = self.body(x.flatten(2).transpose(1, 2))
        return normed.transpose(1, 2).reshape(x.shape)


class Attention(nn.Module):
    """Attention between channels: queries from a guide, keys and values from x.

    The map of each head is (C / heads) x (C / heads), so the cost grows with the number
    of pixels and not with its square (Restormer, arXiv 2111.09881).
    """

    def __init__(self, channels: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.q = nn.Conv2d(channels, channels, 1, bias=bias)
        self.q_dwconv = depthwise(channels, bias)
        self.kv_conv = nn.Conv2d(channels, 2 * channels, 1, bias=bias)
        self.kv_dwconv = depthwise(2 * channels, bias)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=bias)

    def forward(self, feature: Tensor, guide: Tensor) -> Tensor:
        batch, channels, height, width = feature.shape
        query = self.q_dwconv(self.q(guide))
        key, value = self.kv_dwconv(self.kv_conv(feature)).chunk(2, dim=1)
        query, key, value = (
            x.reshape(batch, self.heads, -1, height * width)
            for x in (query, key, value)
        )
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        attention = (query @ key.transpose(-2, -1) * self.temperature).softmax(-1)
        out = (attention @ value).reshape(batch, channels, height, width)
        return self.project_out(out)


class FeedForward(nn.Module):
    """One half of the hidden channels gates the other."""

    def __init__(self, channels: int, expansion: float, bias: bool) -> None:
        super().__init__()
        hidden = int(channels * expansion)
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1, bias=bias)
        self.dwconv = depthwise(2 * hidden, bias)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(gate) * value)


def depthwise(channels: int, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=bias)


class MultiAttentionBlock(nn.Module):
    """Refine the warped feature, guided by the centre frame, then by the kernels.

    NetD knows no kernels yet and has the first half only.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        norm: str,
        expansion: float,
        bias: bool,
        degradation_aware: bool,
    ) -> None:
        super().__init__()
        self.norm1 = LayerNorm(channels, norm)
        self.co_attn = Attention(channels, heads, bias)
        self.norm2 = LayerNorm(channels, norm)
        self.ffn1 = FeedForward(channels, expansion, bias)
        if degradation_aware:
            self.norm3 = LayerNorm(channels, norm)
            self.da_attn = Attention(channels, heads, bias)
            self.norm4 = LayerNorm(channels, norm)
            self.ffn2 = FeedForward(channels, expansion, bias)

    def forward(self, warped: Tensor, centre: Tensor, kernels: Tensor | None) -> Tensor:
        warped = warped + self.co_attn(self.norm1(warped), centre)
        warped = warped + self.ffn1(self.norm2(warped))
        if kernels is not None:
            warped = warped + self.da_attn(self.norm3(warped), kernels)
            warped = warped + self.ffn2(self.norm4(warped))
        return warped


# -----------------------------------------------------------------------------
# The networks


class FRMA(nn.Module):
    """Flow refinement and multi-attention, the block that both networks repeat.

    In turn it refines the frames' features, corrects the flow-mask pairs, aligns the
    features to the centre and fuses them, and applies attention to the result.
    """

    def __init__(
        self,
        channels: int,
        frames: int,
        flows: int,
        rdb: dict,
        attention: dict,
        attention_blocks: int,
        has_flow: bool,
        has_warped: bool,
        degradation_aware: bool,
    ) -> None:
        super().__init__()
        self.rdb = RDB(channels, **rdb)
        self.conv_f = conv_pair(
            2 * channels + (3 * flows if has_flow else 0), 3 * flows, 3 * flows
        )
        self.conv_Fw = nn.Conv2d(
            channels * (frames + has_warped), channels, 1, bias=False
        )
        if degradation_aware:
            self.rdb_KD = RDB(channels, **rdb)
            self.conv_KD = nn.Conv2d(channels * frames, channels, 1, bias=False)
        self.multi_attn_block = nn.ModuleList(
            MultiAttentionBlock(
                channels, degradation_aware=degradation_aware, **attention
            )
            for _ in range(attention_blocks)
        )

    def forward(self, centre, feature, flow_masks, warped, kernels):
        """Run the block.

        Args:
            centre (Tensor): First feature of the centre frame, (B, C, H, W).
            feature (Tensor): Features of all frames, (B, C, T, H, W).
            flow_masks (Tensor | None): Pairs so far, (B, 3n, T, H, W); none in NetD's
                first block.
            warped (Tensor | None): The window's feature so far, (B, C, H, W); none in
                a network's first block.
            kernels (Tensor | None): NetD's kernels, embedded, (B, C, T, H, W).

        Returns:
            tuple[Tensor]: The new ``feature``, ``flow_masks`` and ``warped``.
        """
        feature = self.rdb(feature)
        repeated = over_frames(centre, feature.size(2))
        if flow_masks is None:
            flow_masks = self.conv_f(torch.cat((repeated, feature), dim=1))
        else:
            # How well the pairs align the frames shows how to correct them.
            moved = masked_warp(feature, flow_masks)
            flow_masks = flow_masks + self.conv_f(
                torch.cat((repeated, flow_masks, moved), dim=1)
            )
        moved = masked_warp(feature, flow_masks).flatten(1, 2)
        parts = (moved,) if warped is None else (warped, moved)
        warped = self.conv_Fw(torch.cat(parts, dim=1))
        if kernels is not None:
            kernels = self.conv_KD(self.rdb_KD(kernels).flatten(1, 2))
        for block in self.multi_attn_block:
            warped = block(warped, centre, kernels)
        return feature, flow_masks, warped


class RefinementNet(nn.Module):
    """The parts that NetD and NetR share: feature extractor and FRMA blocks."""

    def __init__(self, in_channels: int, config: dict, is_first: bool) -> None:
        super().__init__()
        channels, frames = config['dim'], config['num_seq']
        rdb = dict(growth=config['growth_rate'], layers=config['num_dense_layer'])
        self.feature_extractor = nn.Sequential(
            conv3d(in_channels, channels),
            nn.LeakyReLU(0.2),
            RRDB(channels, blocks=config['num_RDB'], **rdb),
        )
        self.FRMA_blocks = nn.ModuleList(
            FRMA(
                channels,
                frames,
                config['num_flow'],
                rdb,
                attention=dict(
                    heads=config['num_heads'],
                    norm=config['LayerNorm_type'],
                    expansion=config['ffn_expansion_factor'],
                    bias=config['bias'],
                ),
                attention_blocks=config['num_transformer_block'],
                has_flow=not (is_first and i == 0),
                has_warped=i > 0,
                degradation_aware=not is_first,
            )
            for i in range(config['num_FRMA'])
        )
        self.a_conv = conv_pair(channels, channels, config['in_channels'])

    def refine(self, x: Tensor, flow_masks: Tensor | None, kernels: Tensor | None):
        """Run the shared parts; see :class:`FRMA` for the arguments.

        Returns:
            tuple[Tensor]: The last ``feature``, ``flow_masks`` and ``warped``, and
            ``warped`` with its channels divided among the frames, (B, C/T, T, H, W).
        """
        feature = self.feature_extractor(x)
        centre = feature[:, :, x.size(2) // 2]
        warped = None
        for block in self.FRMA_blocks:
            feature, flow_masks, warped = block(
                centre, feature, flow_masks, warped, kernels
            )
        unfolded = warped.unflatten(1, (-1, x.size(2)))
        return feature, flow_masks, warped, unfolded


class PlainNetD(RefinementNet):
    """The degradation learning network (Section 3.4 of the paper).

    Args:
        config (dict): Sizes, in the authors' names; see :class:`PlainFMANet`.
    """

    def __init__(self, config: dict) -> None:
        super().__init__(config['in_channels'], config, is_first=True)
        self.kernel_size, self.scale = config['ds_kernel_size'], config['scale']
        channels, flows = config['dim'], 3 * config['num_flow']
        self.d_conv = conv_pair(
            channels // config['num_seq'], channels, self.kernel_size**2
        )
        self.f_conv = conv_pair(flows, flows, 3)

    def forward(self, x: Tensor, y: Tensor | None = None):
        """Learn the degradation of ``x`` and, given ``y``, apply it.

        Args:
            x (Tensor): Blurry LR frames, (B, 3, T, H, W).
            y (Tensor, optional): Sharp HR frames, (B, 3, T, sH, sW).

        Returns:
            tuple: The outputs by name; feature, flow-mask pairs and kernels for NetR.
        """
        feature, flow_masks, _, unfolded = self.refine(x, None, None)
        kernels = self.d_conv(unfolded)
        image_pair = self.f_conv(flow_masks)
        outputs = dict(image_flow=image_pair[:, :2], F_sharp_D=self.a_conv(feature))
        if y is not None:
            outputs['recon'], outputs['hr_warp'] = self.degrade(y, image_pair, kernels)
        return outputs, feature, flow_masks, kernels

    def degrade(self, y: Tensor, image_pair: Tensor, kernels: Tensor):
        """Make the blurry LR centre frame, (B, 3, H, W), from the sharp HR frames.

        Also returns the warped HR frames, (B, 3, T, sH, sW).
        """
        flow = self.upsample(image_pair[:, :2]) * self.scale
        mask = self.upsample(torch.sigmoid(image_pair[:, 2:]))
        flow, mask, folded = (z.transpose(1, 2).flatten(0, 1) for z in (flow, mask, y))
        warped = warp(folded, flow) * mask
        # The weight that each pixel has after warping and masking. The result is
        # divided by it, so that masked pixels do not darken their surroundings.
        ones = warp(torch.ones_like(folded), flow) * mask
        warped, ones = (
            z.unflatten(0, (y.size(0), -1)).transpose(1, 2) for z in (warped, ones)
        )
        # One kernel over all frames: taps of all frames sum to 1.
        weights = kernels.transpose(1, 2).flatten(1, 2).softmax(1).unsqueeze(1)
        image = (unfold(warped, self.kernel_size, self.scale) * weights).sum(2)
        weight = (unfold(ones, self.kernel_size, self.scale) * weights).sum(2)
        return image / (weight + 1e-8), warped

    def upsample(self, x: Tensor) -> Tensor:
        upsampled = F.interpolate(
            x.transpose(1, 2).flatten(0, 1),
            scale_factor=self.scale,
            mode='bilinear',
            align_corners=False,
        )
        return upsampled.unflatten(0, (x.size(0), -1)).transpose(1, 2)


class Upsampler(nn.Module):
    """Four times as large, in two steps."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 4 * channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, 4 * channels, 3, padding=1, bias=False)
        self.conv3 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pixel_shuffle(F.leaky_relu(self.conv1(x), 0.2), 2)
        x = F.pixel_shuffle(F.leaky_relu(self.conv2(x), 0.2), 2)
        return F.leaky_relu(self.conv3(x), 0.2)


class PlainNetR(RefinementNet):
    """The restoration network (Section 3.5 of the paper).

    Args:
        config (dict): Sizes, in the authors' names; see :class:`PlainFMANet`.
    """

    def __init__(self, config: dict) -> None:
        channels, flows = config['dim'], 3 * config['num_flow']
        images = config['in_channels']
        super().__init__(images + channels, config, is_first=False)
        self.kernel_size, self.scale = config['us_kernel_size'], config['scale']
        self.f_conv1 = conv_pair(flows, flows, flows)
        self.f_conv2 = conv_pair(flows, flows, 3)
        self.f_conv3 = conv_pair(flows + 2 * images, flows, 3)
        self.d_conv = nn.Sequential(
            nn.Conv3d(config['ds_kernel_size'] ** 2, channels, 3, 1, 1, bias=False),
            nn.LeakyReLU(0.2),
            nn.Conv3d(channels, channels, 3, padding=1, bias=False),
        )
        self.r_conv = conv_pair(
            channels // config['num_seq'],
            channels,
            (self.scale * self.kernel_size) ** 2,
        )
        self.res_conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.upsample = Upsampler(channels)
        self.res_conv2 = nn.Conv2d(channels, images, 3, padding=1, bias=False)

    def forward(self, x: Tensor, feature: Tensor, flow_masks: Tensor, kernels: Tensor):
        """Restore the centre frame of ``x``, (B, 3, T, H, W).

        Args:
            x (Tensor): Blurry LR frames, (B, 3, T, H, W).
            feature (Tensor): NetD's feature, (B, C, T, H, W).
            flow_masks (Tensor): NetD's flow-mask pairs, (B, 3n, T, H, W).
            kernels (Tensor): NetD's kernels, (B, k_d^2, T, H, W).

        Returns:
            dict: The outputs by name.
        """
        feature, flow_masks, warped, unfolded = self.refine(
            torch.cat((x, feature), dim=1),
            self.f_conv1(flow_masks),
            self.d_conv(kernels),
        )
        warped_x = self.warp_images(x, flow_masks)
        detail = F.leaky_relu(self.res_conv1(warped), 0.2)
        detail = self.res_conv2(self.upsample(detail))
        output = self.filter(warped_x, self.r_conv(unfolded)) + detail
        return dict(output=output, lr_warp=warped_x, F_sharp_R=self.a_conv(feature))

    def warp_images(self, x: Tensor, flow_masks: Tensor) -> Tensor:
        """Align the frames to the centre, twice: the second time corrects the first."""
        frames = x.size(2)
        centre = over_frames(x[:, :, frames // 2], frames)
        first = masked_warp(x, self.f_conv2(flow_masks))
        pairs = self.f_conv3(torch.cat((flow_masks, first, centre), dim=1))
        return masked_warp(x, pairs)

    def filter(self, warped_x: Tensor, kernels: Tensor) -> Tensor:
        """Filter the aligned frames with a kernel for each of s^2 subpixels."""
        taps = self.kernel_size**2
        kernels = kernels.unflatten(1, (self.scale**2, taps)).transpose(2, 3)
        kernels = kernels.flatten(2, 3)
        # Taps sum to 1, but may be negative: kernels can sharpen.
        kernels = kernels - kernels.mean(2, keepdim=True) + 1 / kernels.size(2)
        patches = unfold(warped_x, self.kernel_size, stride=1)
        filtered = torch.einsum('bckhw,bskhw->bcshw', patches, kernels)
        return F.pixel_shuffle(filtered.flatten(1, 2), self.scale)


class PlainFMANet(nn.Module):
    """FMA-Net of training stage 1 or 2.

    Args:
        stage (int): 1: NetD alone; 2: NetD and NetR.
        **config: Sizes, in the authors' names: ``in_channels``, ``dim`` (C),
            ``num_seq`` (T), ``scale``, ``ds_kernel_size`` (k_d), ``us_kernel_size``
            (k_r), ``num_RDB``, ``growth_rate``, ``num_dense_layer``, ``num_flow``
            (n), ``num_FRMA`` (M), ``num_transformer_block``, ``num_heads``,
            ``LayerNorm_type``, ``ffn_expansion_factor`` and ``bias`` (of attention
            and feed-forward).
    """

    def __init__(self, stage: int, **config) -> None:
        super().__init__()
        if config['scale'] != 4:
            raise ValueError(f'the plain form has scale 4 only, got {config["scale"]}')
        self.degradation_learning_network = PlainNetD(config)
        self.restoration_network = PlainNetR(config) if stage == 2 else None

    def forward(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Run a window.

        Args:
            x (Tensor): Blurry LR frames, (B, 3, T, H, W), in [0, 1].
            y (Tensor, optional): Sharp HR frames, (B, 3, T, sH, sW), to be degraded.

        Returns:
            dict[str, Tensor]: ``image_flow``, ``F_sharp_D``; with ``y`` ``recon`` and
            ``hr_warp``; in stage 2 ``output``, ``lr_warp`` and ``F_sharp_R``.
        """
        outputs, *learned = self.degradation_learning_network(x, y)
        if self.restoration_network is not None:
            outputs |= self.restoration_network(x, *learned)
        return outputs
