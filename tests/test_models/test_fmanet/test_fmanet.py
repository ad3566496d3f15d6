import copy

import golden
import pytest
import torch
from golden_model import batch, build, config, state_dict
from mmagic.registry import MODELS
from mmagic.structures import DataSample

from fmanet_mm.models.fmanet.official_weights import convert_net_d, convert_net_r

TINY = pytest.mark.parametrize('name', ['tiny_stage1', 'tiny_stage2'])


@TINY
def test_five_adam_steps_follow_the_authors(name):
    data = golden.load(name)
    model = build(data).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)
    for step, expected in enumerate(data['trajectory']):
        losses = model(*batch(data), mode='loss')
        total, log = model.parse_losses(losses)
        assert {k for k in log if k != 'loss'} == expected.keys() - {'total'}
        tolerance = 1e-4 if step == 0 else 1e-3
        for key, value in expected.items():
            ours = log['loss' if key == 'total' else key].item()
            assert ours == pytest.approx(value, rel=tolerance, abs=1e-6), (step, key)
        optimizer.zero_grad()
        total.backward()
        if step == 0:
            check_gradients(model, data)
        optimizer.step()


def check_gradients(model, data):
    """Gradient norms of step 1, by the authors' names through the converter."""
    for prefix, convert, net in (
        (golden.NET_D, convert_net_d, model.net_d),
        (golden.NET_R, convert_net_r, getattr(model, 'net_r', None)),
    ):
        norms = {
            name.removeprefix(prefix): torch.tensor(norm)
            for name, norm in data['grad_norms'].items()
            if name.startswith(prefix)
        }
        expected = convert(norms)
        assert len(expected) == len(norms)
        for name, norm in expected.items():
            ours = net.get_parameter(name).grad.norm().item()
            assert ours == pytest.approx(norm.item(), rel=1e-3), name


@TINY
def test_every_parameter_gets_a_gradient(name):
    data = golden.load(name)
    model = build(data).train()
    total, _ = model.parse_losses(model(*batch(data), mode='loss'))
    total.backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == data['params_without_grad'] == []


@pytest.mark.parametrize('dropped', ['flow', 'ta_d', 'ta_r'])
def test_a_loss_left_out_needs_no_target(dropped):
    data = golden.load('tiny_stage2')
    losses = config(data)['losses'] | {dropped: None}
    if dropped != 'flow':
        losses |= dict(ta_d=None, ta_r=None)
    inputs, samples = batch(data)
    target = 'flow' if dropped == 'flow' else 'img_sharp'
    delattr(samples, target)
    log = build(data, losses=losses)(inputs, samples, mode='loss')
    assert f'loss_{dropped}' not in log
    assert log['loss_restoration'].item() == pytest.approx(
        data['losses']['loss_restoration'], rel=1e-4
    )


def test_anchor_heads_cost_nothing_at_inference():
    data = golden.load('tiny_stage2')
    model = build(data).eval()
    for net in (model.net_d, model.net_r):
        net.anchor_head.register_forward_hook(lambda *_: pytest.fail('head was run'))
    with torch.no_grad():
        model(golden.frames(data['x']), mode='tensor')


def packed(data, training):
    """Samples as the pipeline gives them: RGB, uint8, a list."""
    inputs, samples = batch(data)
    to_uint8 = lambda t: (t * 255).round().byte()  # noqa: E731
    gt = to_uint8(samples.gt_img)
    c = inputs.size(1) // 2
    window = training or data['config']['stage'] == 1
    order = {f'{key}_channel_order': 'rgb' for key in ('img', 'gt', 'img_sharp')}
    return dict(
        inputs=[to_uint8(x) for x in inputs],
        data_samples=[
            DataSample(
                gt_img=gt[i] if window else gt[i, c],
                metainfo=order,
                **(dict(img_sharp=to_uint8(samples.img_sharp[i])) if training else {}),
            )
            for i in range(len(inputs))
        ],
    )


def test_preprocessing_gives_rgb_in_unit_range_for_training():
    data = golden.load('tiny_stage2')
    processed = build(data).data_preprocessor(packed(data, True), training=True)
    inputs, samples = batch(data)
    for ours, expected in (
        (processed['inputs'], inputs),
        (processed['data_samples'].gt_img, samples.gt_img),
        (processed['data_samples'].img_sharp, samples.img_sharp),
    ):
        torch.testing.assert_close(ours, expected, rtol=0, atol=0.51 / 255)


def test_stage_2_predicts_the_centre_frame_in_bgr():
    data = golden.load('tiny_stage2')
    model = build(data).eval()
    with torch.no_grad():
        predictions = model.val_step(packed(data, False))
        inputs = (golden.frames(data['x']) * 255).round() / 255
        expected = model(inputs, mode='tensor').clamp(0, 1) * 255
    assert len(predictions) == 2
    for prediction, image in zip(predictions, expected, strict=True):
        torch.testing.assert_close(
            prediction.output.pred_img, image.flip(0), rtol=0, atol=2e-2
        )
        assert prediction.gt_img.shape == image.shape


def test_stage_1_predicts_the_blurry_frame_from_the_sharp_ones():
    data = golden.load('tiny_stage1')
    model = build(data).eval()
    with torch.no_grad():
        predictions = model.val_step(packed(data, False))
    expected = data['outputs']['recon'].clamp(0, 1) * 255
    centre = golden.frames(data['x'])[:, 1] * 255
    for i, prediction in enumerate(predictions):
        image = prediction.output.pred_img
        error = (image - expected[i].flip(0)).abs()
        assert error.mean() < 0.2, 'more than rounding the inputs to uint8 explains'
        torch.testing.assert_close(
            prediction.blurry_img, centre[i].flip(0), rtol=0, atol=0.51
        )


def test_autocast_training_step_is_close():
    data = golden.load('tiny_stage2')
    model = build(data).train()
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(*batch(data), mode='loss')
    total, log = model.parse_losses(losses)
    total.backward()
    for key, expected in data['losses'].items():
        assert log[key].item() == pytest.approx(expected, rel=0.05), key
    assert all(p.grad.isfinite().all() for p in model.parameters())


class TestErrors:
    def test_unknown_loss(self):
        data = golden.load('tiny_stage1')
        with pytest.raises(ValueError, match='FMANetStage1 has no loss restoration'):
            build(data, losses=dict(restoration=dict(type='L1Loss')))

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            (dict(num_frames=1), 'num_frames, got 3 in net_d and 1 in net_r'),
            (dict(scale=2), 'scale, got 4 in net_d and 2 in net_r'),
            (dict(degradation_kernel_size=6), 'kernel size, got 8 .* and 6'),
        ],
    )
    def test_nets_that_do_not_fit(self, change, message):
        cfg = config(golden.load('tiny_stage2'))
        cfg['net_r'] |= change
        with pytest.raises(ValueError, match=message):
            MODELS.build(cfg)

    def test_wrong_number_of_frames(self):
        model = build(golden.load('tiny_stage1'))
        with pytest.raises(ValueError, match=r'got \(1, 5, 3, 8, 8\)'):
            model(torch.zeros(1, 5, 3, 8, 8))

    @pytest.mark.parametrize('key', ['gt_img', 'flow', 'img_sharp'])
    def test_missing_target(self, key):
        data = golden.load('tiny_stage1')
        inputs, samples = batch(data)
        delattr(samples, key)
        with pytest.raises(ValueError, match=f"need '{key}'"):
            build(data)(inputs, samples, mode='loss')

    def test_gt_that_is_not_scale_times_lq(self):
        data = golden.load('tiny_stage1')
        inputs, samples = batch(data)
        samples.gt_img = samples.gt_img[..., 1:]
        with pytest.raises(ValueError, match=r"'gt_img' must be \(2, 3, 3, 80, 112\)"):
            build(data)(inputs, samples, mode='loss')


class TestCheckpoints:
    """Whoever loads: torch strictly or MMEngine with strict=False."""

    @pytest.fixture
    def load(self):
        from mmengine.runner.checkpoint import load_state_dict

        return lambda model, state: load_state_dict(model, state, strict=False)

    def test_other_stage(self, load):
        stage_1, stage_2 = (golden.load(f'tiny_stage{s}') for s in (1, 2))
        with pytest.raises(ValueError, match='is of stage 1, the config.*--stage1'):
            load(build(stage_2), state_dict(stage_1))
        with pytest.raises(
            ValueError, match='not known to the model .net_r.*is of stage 2'
        ):
            load(build(stage_1), state_dict(stage_2))

    def test_missing_key_and_other_width(self, load):
        data = golden.load('tiny_stage1')
        model, state = build(data), state_dict(data)
        name = 'net_d.kernel_head.0.weight'
        with pytest.raises(ValueError, match=rf'1 missing \({name}\)'):
            load(model, {k: v for k, v in state.items() if k != name})
        with pytest.raises(
            ValueError, match=rf'another shape \({name}.*it was trained'
        ):
            load(model, state | {name: state[name][:1]})

    def test_fitting_weights_load(self, load):
        data = golden.load('tiny_stage2')
        model = build(data)
        state = copy.deepcopy(model.state_dict())
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)
        load(model, state)
        for name, value in model.state_dict().items():
            assert torch.equal(value, state[name]), name
