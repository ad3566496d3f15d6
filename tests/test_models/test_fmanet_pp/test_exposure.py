import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from fmanet_mm.models import ExposureExtractor, FMANetPPExposure
from fmanet_mm.models.fmanet_pp.exposure import ExposureModulation


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_extractor_is_resnet_18_up_to_the_third_stage():
    resnet = pytest.importorskip('torchvision').models.resnet18()
    extractor = ExposureExtractor().eval()
    assert sum(p.numel() for p in extractor.parameters()) == 2_782_784
    assert extractor.channels == 256
    names = {
        r'conv1.': 'conv.',
        r'bn1.': 'norm.',
        r'layer1.': 'stages.0.',
        r'layer2.': 'stages.1.',
        r'layer3.': 'stages.2.',
        r'.bn1.': '.norm1.',
        r'.bn2.': '.norm2.',
        r'.downsample.': '.shortcut.',
    }
    weights = {}
    for name, value in resnet.state_dict().items():
        for theirs, ours in names.items():
            at = name.startswith if not theirs.startswith('.') else name.__contains__
            name = name.replace(theirs, ours) if at(theirs) else name
        if not name.startswith(('layer4', 'fc')):
            weights[name] = value
    extractor.load_state_dict(weights)
    resnet.eval().layer4 = resnet.fc = torch.nn.Identity()
    frames = torch.rand(2, 3, 37, 50)
    with torch.no_grad():
        expected = resnet(frames)
        torch.testing.assert_close(extractor(frames), expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.01


def test_extractor_takes_frames_of_any_size():
    assert ExposureExtractor(width=4, num_stages=4).eval()(
        torch.rand(2, 3, 1, 5)
    ).shape == (2, 32)


@pytest.mark.parametrize('num_stages', [0, 5])
def test_extractor_refuses_stages_that_there_are_none_of(num_stages):
    with pytest.raises(
        ValueError, match=f'num_stages must be 1 to 4, got {num_stages}'
    ):
        ExposureExtractor(num_stages=num_stages)


def test_an_untrained_modulation_changes_nothing():
    feature = torch.rand(2, 6, 3, 4)
    modulation = ExposureModulation(8, 5, 6)
    assert modulation(feature, torch.rand(2, 8)).equal(feature)


def test_modulation_scales_and_shifts_every_channel():
    modulation = ExposureModulation(8, 5, 6).double()
    torch.nn.init.normal_(modulation.layers[-1].weight)
    feature, exposure = torch.rand(2, 6, 3, 4).double(), torch.rand(2, 8).double()
    first, _, last = modulation.layers
    hidden = F.leaky_relu(first(exposure), 0.2)
    scale, shift = (last(hidden)).view(2, 2, 6, 1, 1).unbind(1)
    torch.testing.assert_close(
        modulation(feature, exposure), (1 + scale) * feature + shift
    )


def plain_contrastive(embedding, label, alpha):
    """Equation of the loss, term by term."""
    unit = [list(vector / vector.norm()) for vector in embedding]
    terms = []
    for q, own in enumerate(label):
        others = [p for p in range(len(label)) if p != q]
        score = {
            p: sum(a * b for a, b in zip(unit[q], unit[p], strict=True)).item() / alpha
            for p in others
        }
        total = sum(math.exp(score[p]) for p in others)
        same = [p for p in others if label[p] == own]
        if same:
            terms.append(
                -sum(math.log(math.exp(score[p]) / total) for p in same) / len(same)
            )
    return sum(terms) / len(terms)


@pytest.mark.parametrize(
    'label', [[0, 0, 1, 1, 1], [3, 3, 3, 3, 3], [0, 1, 2, 0, 4]], ids=str
)
def test_contrastive_loss_is_its_formula(label):
    embedding = torch.randn(5, 7, dtype=torch.float64)
    loss = MODELS.build(dict(type='SupervisedContrastiveLoss', loss_weight=3.0))
    expected = 3 * plain_contrastive(embedding, label, alpha=0.5)
    given = loss(embedding, torch.tensor(label)).item()
    assert given == pytest.approx(expected, rel=1e-10)


def test_contrastive_loss_falls_as_exposures_come_apart():
    loss = MODELS.build(dict(type='SupervisedContrastiveLoss'))
    label = torch.tensor([0, 0, 1, 1])
    mixed = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]])
    sorted_ = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert loss(sorted_, label) < loss(mixed, label)


def test_contrastive_loss_needs_two_frames_of_a_label():
    loss = MODELS.build(dict(type='SupervisedContrastiveLoss'))
    with pytest.raises(ValueError, match='no two of the 3 frames share an exposure'):
        loss(torch.rand(3, 2), torch.arange(3))


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match='temperature must be positive, got 0'):
        MODELS.build(dict(type='SupervisedContrastiveLoss', temperature=0))


def exposure_model():
    return FMANetPPExposure(
        dict(type='ExposureExtractor', width=4, num_stages=2),
        losses=dict(contrastive=MODELS.build(dict(type='SupervisedContrastiveLoss'))),
    )


def test_the_extractor_learns_labels_of_single_frames():
    """Frames that differ in what blur changes, their contrast."""
    model = exposure_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    labels = torch.tensor([[0, 0], [1, 1], [2, 2], [0, 2]])
    frames = torch.rand(4, 2, 3, 16, 16) * (0.2 + 0.4 * labels[..., None, None, None])
    values = []
    for _ in range(12):
        loss = model(frames, dict(exposure=labels), mode='loss')['loss_contrastive']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.8 * values[0]


@pytest.mark.parametrize(
    ('samples', 'message'),
    [
        ({}, "need 'exposure' in the data samples"),
        (dict(exposure=torch.zeros(2)), r"'exposure' must be \(2, 3\).*got \(2,\)"),
    ],
)
def test_missing_labels_are_named(samples, message):
    with pytest.raises(ValueError, match=message):
        exposure_model()(torch.rand(2, 3, 3, 16, 16), samples, mode='loss')
