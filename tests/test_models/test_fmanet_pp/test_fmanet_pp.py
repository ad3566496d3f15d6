from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from helpers import tiny_config, tiny_network, tiny_pp_config, tiny_pp_network
from mmengine.registry import MODELS
from torch import nn

from fmanet_mm.models import FMANetPP
from fmanet_mm.ops.live_bytes import LiveBytes

LOSSES = ('recon', 'hr_warp', 'flow', 'restoration')


def clip(num_frames=4, height=10, width=14, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    size = (1, num_frames, 3, height, width)
    return torch.rand(size, generator=generator, dtype=dtype)


def batch(num_frames=4, scale=2, height=10, width=14):
    size = scale * height, scale * width
    samples = dict(
        gt_img=torch.rand(2, num_frames, 3, *size),
        flow=torch.randn(2, 2 * num_frames, 2, height, width),
    )
    return torch.rand(2, num_frames, 3, height, width), samples


def trainable(kind='FMANetPP', losses=LOSSES, **options):
    """A model with losses and the weights of :func:`tiny_pp_network`."""
    config = tiny_pp_config(kind=kind, **options).model
    config['losses'] = {name: nn.L1Loss() for name in losses}
    model = MODELS.build(config)
    model.load_state_dict(tiny_pp_network(kind=kind, **options).state_dict())
    return model.train()


# The network


@pytest.mark.parametrize(
    ('sizes', 'options', 'published'),
    [
        ({}, {}, 12.8),
        ({}, dict(exposure=None), 9.8),
        (dict(num_blocks=2), {}, 9.4),
        (dict(num_blocks=1), {}, 7.7),
        (dict(num_flows=1), {}, 11.9),
        (dict(num_flows=5), {}, 12.3),
    ],
    ids=['full', 'without ETE', 'M=2', 'M=1', 'n=1', 'n=5'],
)
def test_number_of_parameters_is_about_the_papers(sizes, options, published):
    with torch.device('meta'):
        model = FMANetPP(sizes, **options)
    # Their count is of what restoring needs.
    training_only = model.net_d.flow_head.parameters()
    number = sum(p.numel() for p in model.parameters())
    number -= sum(p.numel() for p in training_only)
    assert number / 1e6 == pytest.approx(published, abs=0.2)


@torch.no_grad()
def test_an_output_depends_on_8_frames_on_either_side():
    model = tiny_pp_network(num_blocks=4)
    frames = clip(19)
    restored = model(frames)[0, 9]
    for index, same in ((0, True), (1, False), (17, False), (18, True)):
        changed = frames.clone()
        changed[:, index] = 1 - changed[:, index]
        assert model(changed)[0, 9].equal(restored) == same, index


@torch.no_grad()
def test_chunks_that_overlap_by_the_context_are_the_clip():
    model = tiny_pp_network().double()
    frames = clip(12, dtype=torch.float64)
    whole = model(frames)
    chunks = torch.cat((model(frames[:, :10])[:, :6], model(frames[:, 2:])[:, 4:]), 1)
    torch.testing.assert_close(chunks, whole, rtol=0, atol=1e-12)
    cut_short = model(frames[:, 3:])[:, 3:]
    assert (cut_short - whole[:, 6:]).abs().max() > 1e-7


@pytest.mark.parametrize('temporal', ['hierarchical', 'recurrent', 'window'])
def test_clips_of_a_batch_do_not_influence_each_other(temporal):
    """Neither as one batch, nor without gradients frame by frame."""
    model = tiny_pp_network(temporal=temporal)
    frames = torch.cat((clip(3), 1 - clip(3)))
    with torch.no_grad():
        apart = torch.cat([model(frames[:1]), model(frames[1:])])
        torch.testing.assert_close(model(frames), apart, rtol=0, atol=1e-5)
    torch.testing.assert_close(model(frames).detach(), apart, rtol=0, atol=1e-5)


def test_without_gradients_a_clip_takes_less_memory():
    """Frame by frame, and not as one batch."""
    model, frames = tiny_pp_network(), clip(12)
    with torch.no_grad(), LiveBytes() as lean:
        model(frames)
    model.requires_grad_(False)
    with LiveBytes() as batched:
        model(frames)
    assert lean.peak < batched.peak / 3


@torch.no_grad()
def test_a_single_frame_is_its_own_neighbour():
    model = tiny_pp_network()
    state = model.encode(clip(1)[0])
    for level in range(model.num_levels):
        state = model.advance(level, state, state.feature, state.feature)
    expected = model.decode(state)
    torch.testing.assert_close(model(clip(1))[0], expected, rtol=0, atol=1e-6)
    others = tiny_pp_network(ends='zero')(clip(1))[0]
    assert (others - expected).abs().max() > 1e-3


@torch.no_grad()
def test_output_is_a_residual_of_the_bilinear_input():
    model = tiny_pp_network()
    nn.init.zeros_(model.net_r.high_frequency_head.conv_last.weight)
    expected = F.interpolate(
        clip()[0], scale_factor=2, mode='bilinear', align_corners=False
    )
    torch.testing.assert_close(model(clip())[0], expected)


@torch.no_grad()
def test_restoring_computes_no_kernels():
    """1200 channels in the published network; here 3 * 6 * 6 = 108."""
    widths = []
    model = tiny_pp_network()
    conv2d = F.conv2d

    def watch(x, weight, *args, **kwargs):
        widths.append(len(weight))
        return conv2d(x, weight, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, 'conv2d', watch)
        model(clip())
    assert widths and 108 not in widths


@torch.no_grad()
def test_exposure_reaches_every_block_of_both_nets():
    model = tiny_pp_network()
    frames = clip()
    exposure = model.embed(frames)
    assert exposure.shape == (1, 4, 8)
    torch.testing.assert_close(model.forward_tensor(frames, exposure), model(frames))
    swapped = model.forward_tensor(frames, exposure.flip(1))
    assert (swapped - model(frames)).abs().max() > 1e-4
    for net in (model.net_d, model.net_r):
        assert all(block.modulation is not None for block in net.blocks)


@torch.no_grad()
def test_without_extractor_there_is_no_exposure():
    model = tiny_pp_network(exposure=False)
    assert model.embed(clip()) is None
    assert model(clip()).shape == (1, 4, 3, 20, 28)
    names = ''.join(model.state_dict())
    assert 'exposure' not in names and 'modulation' not in names


# What the paper compares it with


@torch.no_grad()
def test_windows_restore_every_frame_from_three():
    frames = clip(4)
    restored = tiny_pp_network(temporal='window')(frames)
    model = tiny_pp_network()
    for index in range(4):
        around = [max(index - 1, 0), index, min(index + 1, 3)]
        expected = model(frames[:, around])[:, 1]
        torch.testing.assert_close(restored[:, index], expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_recurrence_reaches_further_than_the_levels():
    """Forwards on the first level of each net, backwards on the second."""
    model = tiny_pp_network(temporal='recurrent', num_blocks=1)
    frames = clip(8)
    changed = frames.clone()
    changed[:, 0] = 0
    same = (model(frames) == model(changed)).flatten(2).all(2)[0]
    assert not same.any()
    changed = frames.clone()
    changed[:, 7] = 0
    same = (model(frames) == model(changed)).flatten(2).all(2)[0]
    assert same.tolist() == 5 * [True] + 3 * [False]


@pytest.mark.parametrize('temporal', ['recurrent', 'window'])
def test_what_is_not_hierarchical_names_its_restorer(temporal):
    with pytest.raises(ValueError, match=f'{temporal}.*SequenceRestorer.*scale=2'):
        tiny_pp_network(temporal=temporal).encode(clip(1)[0])


@torch.no_grad()
def test_feature_modulation_replaces_degradation_awareness():
    modulated = dict(degradation_attention=dict(type='GuidedModulation'))
    model = tiny_pp_network(net_r=modulated)
    assert model(clip()).shape == (1, 4, 3, 20, 28)


# Training


def test_losses_are_their_formulas():
    model = trainable()
    inputs, samples = batch()
    losses = model(inputs, samples, mode='loss')
    assert set(losses) == {f'loss_{name}' for name in LOSSES}
    sharp, flow = samples['gt_img'], samples['flow'].unflatten(1, (-1, 2))
    with torch.no_grad():
        degradation = model.net_d(inputs, model.embed(inputs))
        kernels = model.net_d.kernels(degradation.kernel_feature)
        estimate = model.net_d.image_flow_mask(degradation.flow_masks)
        blurry, warped = model.net_d.degrade(sharp, estimate, kernels)
        restored = model(inputs)
    hr_warp = [(warped[:, 1:, 0] - sharp[:, 1:]), (warped[:, :-1, 1] - sharp[:, :-1])]
    flows = [
        (estimate[:, 1:, 0, :2] - flow[:, 1:, 0]),
        (estimate[:, :-1, 1, :2] - flow[:, :-1, 1]),
    ]
    expected = dict(
        loss_recon=(blurry - inputs).abs().mean(),
        loss_hr_warp=torch.stack(hr_warp).abs().mean(),
        loss_flow=torch.stack(flows).abs().mean(),
        loss_restoration=(restored - sharp).abs().mean(),
    )
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-5, atol=1e-6)


def test_flow_beyond_the_ends_is_ignored():
    model = trainable(losses=['flow'])
    inputs, samples = batch()
    before = model(inputs, samples, mode='loss')
    samples['flow'][:, [0, -1]] = torch.nan
    assert model(inputs, samples, mode='loss') == before


@pytest.mark.parametrize('kind', ['FMANetPP', 'FMANetPPStage1'])
def test_every_parameter_but_the_frozen_gets_a_gradient(kind):
    losses = LOSSES if kind == 'FMANetPP' else LOSSES[:3]
    model = trainable(kind, losses)
    statistics = model.exposure_net.norm.running_mean.clone()
    sum(model(*batch(), mode='loss').values()).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith('exposure_net.'), name
    assert model.exposure_net.norm.running_mean.equal(statistics)


def test_checkpointing_gives_the_same_gradients():
    inputs, samples = batch(num_frames=2)
    gradients = []
    for with_cp in (False, True):
        model = trainable(with_cp=with_cp)
        sum(model(inputs, samples, mode='loss').values()).backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_steps_lower_the_loss():
    model = trainable(losses=['recon', 'restoration'])
    inputs, samples = batch(num_frames=2)
    larger = F.interpolate(inputs.flatten(0, 1), scale_factor=2)
    samples['gt_img'] = 0.7 * larger.unflatten(0, (2, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    values = []
    for _ in range(8):
        loss = sum(model(inputs, samples, mode='loss').values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.8 * values[0]


@pytest.mark.parametrize('temporal', ['hierarchical', 'recurrent'])
@torch.no_grad()
def test_validation_of_stage_1_degrades_the_sharp_frames(temporal):
    """Part by part if there are more than 10."""
    model = tiny_pp_network(kind='FMANetPPStage1', temporal=temporal)
    del model.data_preprocessor
    model.data_preprocessor = SimpleNamespace(construct=lambda images: images)
    inputs, samples = batch(num_frames=13)
    targets = SimpleNamespace(gt_img=samples['gt_img'])
    outputs = model.forward_inference(inputs, targets)
    degradation = model.net_d(inputs, model.embed(inputs))
    expected, _ = model.net_d.degrade(
        samples['gt_img'],
        model(inputs),
        model.net_d.kernels(degradation.kernel_feature),
    )
    torch.testing.assert_close(outputs, dict(pred_img=expected, blurry_img=inputs))


@torch.no_grad()
def test_learned_degradation_is_that_of_the_centre_frame():
    model = tiny_pp_network()
    frames = clip(model.num_frames)
    learned = model.estimate_degradation(frames[0])
    degradation = model.net_d(frames, model.embed(frames))
    flow = model.net_d.image_flow_mask(degradation.flow_masks)[0, 2, :, :2]
    torch.testing.assert_close(learned.flow[[0, 2]], flow)
    assert not learned.flow[1].any()
    y, x = learned.pixel
    taps = model.net_d.kernels(degradation.kernel_feature)[0, 2, :, :, y, x]
    expected = taps.flatten().softmax(0).view(3, 6, 6)
    torch.testing.assert_close(learned.kernels, expected)
    assert learned.kernels.sum().item() == pytest.approx(1)


# What does not fit


@pytest.mark.parametrize('size', [(1, 4, 10, 14), (1, 0, 3, 8, 8), (1, 4, 1, 8, 8)])
def test_inputs_that_are_no_clips_are_named(size):
    with pytest.raises(ValueError, match='expected clips .*got'):
        tiny_pp_network()(torch.rand(size))


@pytest.mark.parametrize(
    ('changes', 'num_frames', 'message'),
    [
        ({}, 1, 'clips of at least 2 frames, got a single one'),
        (dict(flow=torch.zeros(2, 4, 2, 10, 14)), 4, r"'flow' must be \(2, 8, 2"),
        (dict(gt_img=torch.zeros(2, 4, 3, 10, 14)), 4, "'gt_img' must be"),
        (dict(flow=None), 4, "need 'flow' in the data samples"),
    ],
)
def test_targets_that_do_not_fit_are_named(changes, num_frames, message):
    inputs, samples = batch(num_frames)
    samples = {k: v for k, v in (samples | changes).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        trainable()(inputs, samples, mode='loss')


def test_nets_that_do_not_fit_each_other_are_named():
    with pytest.raises(ValueError, match='must agree in num_flows, got 2 .*and 3'):
        FMANetPP(tiny_pp_config().model.architecture, net_r=dict(num_flows=3))


@pytest.mark.parametrize(
    ('model', 'weights', 'advice'),
    [
        (tiny_pp_config(), tiny_config(), 'is of FMA-Net, the config of FMA-Net++'),
        (tiny_config(), tiny_pp_config(), r'is of FMA-Net\+\+, the config of FMA-Net$'),
        (
            tiny_config(stage=1),
            tiny_pp_config(kind='FMANetPPStage1'),
            r'is of FMA-Net\+\+, the config of FMA-Net$',
        ),
        (
            tiny_pp_config(),
            tiny_pp_config(kind='FMANetPPStage1'),
            'of stage 1, the config of the joint stage',
        ),
        (
            tiny_pp_config(kind='FMANetPPStage1'),
            tiny_pp_config(),
            'of the joint stage, the config of stage 1',
        ),
        (
            tiny_pp_config(),
            tiny_pp_config(exposure=False),
            'config has an exposure extractor, the checkpoint has none',
        ),
        (
            tiny_pp_config(exposure=False),
            tiny_pp_config(),
            'checkpoint has an exposure extractor, the config has none',
        ),
        (tiny_pp_config(), tiny_pp_config(channels=8), 'config it was trained with'),
    ],
)
def test_weights_of_another_network_are_named(model, weights, advice):
    weights = MODELS.build(weights.model).state_dict()
    with pytest.raises(ValueError, match=f'does not fit this FMANet.*{advice}'):
        MODELS.build(model.model).load_state_dict(weights)


def test_weights_of_the_extractor_alone_are_named():
    weights = tiny_pp_network().state_dict()
    own = {k: v for k, v in weights.items() if k.startswith('exposure_net.')}
    with pytest.raises(ValueError, match='is of the exposure extractor alone'):
        tiny_pp_network().load_state_dict(own)


def test_stages_start_from_the_stages_before(tmp_path):
    stage1 = tiny_pp_network(kind='FMANetPPStage1')
    path = tmp_path / 'stage1.pth'
    torch.save(dict(state_dict=stage1.state_dict()), path)
    config = tiny_pp_config().model
    for part, prefix in (('exposure', 'exposure_net.'), ('net_d', 'net_d.')):
        init = dict(type='StrictPretrained', checkpoint=str(path), prefix=prefix)
        config[part] = config.get(part, {}) | dict(init_cfg=init)
    model = MODELS.build(config)
    model.init_weights()
    for name, value in stage1.state_dict().items():
        assert model.state_dict()[name].equal(value), name


@pytest.mark.parametrize('part', ['exposure', 'net_d'])
def test_initial_weights_of_another_width_are_named(part, tmp_path):
    path = tmp_path / 'other.pth'
    other = tiny_network() if part == 'net_d' else tiny_pp_network()
    torch.save(dict(state_dict=other.state_dict()), path)
    config = tiny_pp_config().model
    if part == 'exposure':
        config.exposure.width = 8
    init = dict(
        type='StrictPretrained',
        checkpoint=str(path),
        prefix=dict(exposure='exposure_net.', net_d='net_d.')[part],
    )
    config[part] = config.get(part, {}) | dict(init_cfg=init)
    kind = dict(exposure='ExposureExtractor', net_d='SequenceNetD')[part]
    with pytest.raises(ValueError, match=f'other.pth does not fit {kind}'):
        MODELS.build(config).init_weights()
