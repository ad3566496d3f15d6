import subprocess
import sys
from pathlib import Path

import mmagic.apis.inferencers as mmagic_inferencers
import pytest
import yaml
from helpers import tiny_config
from mmagic.apis import MMagicInferencer
from mmagic.registry import MODELS
from mmengine import Config

from fmanet_mm.apis import VSRDBInferencer, register_inferencer
from fmanet_mm.apis.registration import ModelAwareInferencers
from fmanet_mm.models import FMANet
from fmanet_mm.utils import config_root


@pytest.fixture
def chosen(monkeypatch):
    """The inferencers that are chosen, none of which is built."""
    calls = []
    for name in ('VideoRestorationInferencer', 'VideoInterpolationInferencer'):

        def record(config, *args, name=name, **kwargs):
            calls.append((name, config))

        monkeypatch.setattr(mmagic_inferencers, name, record)

    def record_ours(config, *args):
        calls.append(('VSRDBInferencer', config))

    monkeypatch.setattr('fmanet_mm.apis.registration.VSRDBInferencer', record_ours)
    return calls


def test_the_name_reaches_our_inferencer(chosen):
    MMagicInferencer(model_name='fmanet')
    ((name, config),) = chosen
    assert name == 'VSRDBInferencer'
    assert Path(config).resolve() == config_root() / 'fmanet_stage2.py'


def test_the_name_works_from_another_folder(chosen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    MMagicInferencer(model_name='fmanet')
    assert Config.fromfile(chosen[0][1]).model.type == 'FMANet'


def test_a_setting_can_be_chosen(chosen):
    MMagicInferencer(model_name='fmanet', config_name='fmanet_s_stage2')
    assert Path(chosen[0][1]).name == 'fmanet_s_stage2.py'


def test_sequences_are_restored_by_the_name_of_their_network(chosen):
    MMagicInferencer(model_name='fmanet_pp')
    ((name, config),) = chosen
    assert name == 'VSRDBInferencer'
    assert Path(config).resolve() == config_root() / 'fmanet_pp/stage2.py'


@pytest.mark.parametrize(
    ('name', 'collection'), [('fmanet', 'FMA-Net'), ('fmanet_pp', 'FMA-Net++')]
)
def test_the_names_come_from_the_metafile(name, collection):
    models = yaml.safe_load((config_root() / 'metafile.yml').read_text())['Models']
    settings = MMagicInferencer.inference_supported_models_cfg[name]['settings']
    assert [x['Name'] for x in settings] == [
        model['Name'] for model in models if model['In Collection'] == collection
    ]


def test_every_setting_is_found():
    for setting in MMagicInferencer.inference_supported_models_cfg['fmanet'][
        'settings'
    ]:
        assert Path(setting['Config']).name == setting['Name'] + '.py'


@pytest.mark.parametrize('model_name', ['basicvsr', 'edvr', 'real_basicvsr'])
def test_other_models_reach_mmagics_inferencer(chosen, model_name):
    MMagicInferencer(model_name=model_name)
    ((name, config),) = chosen
    assert name == 'VideoRestorationInferencer'
    assert f'configs/{model_name}/' in config


def test_other_tasks_reach_mmagics_inferencer(chosen):
    MMagicInferencer(model_name='flavr')
    assert chosen[0][0] == 'VideoInterpolationInferencer'


def test_another_models_config_without_a_name_is_refused_as_ever():
    config = MMagicInferencer.inference_supported_models_cfg['basicvsr']['settings'][0]
    with pytest.raises(ValueError, match='Unknown inferencer task: None'):
        MMagicInferencer(model_config=config)


@pytest.mark.parametrize('config', [None, 'absent.py', dict(), dict(model=dict())])
def test_what_is_not_ours_goes_to_mmagic(config):
    with pytest.raises(ValueError, match='Unknown inferencer task'):
        ModelAwareInferencers(task='unknown', config=config)


def test_a_subclass_of_the_model_is_ours_too(chosen):
    class Child(FMANet):
        pass

    MODELS.register_module(name='ChildOfFMANet', module=Child, force=True)
    config = tiny_config()
    config.model.type = 'ChildOfFMANet'
    MMagicInferencer(model_config=config)
    assert chosen[0][0] == 'VSRDBInferencer'


def test_a_config_with_a_restorer_is_ours_too(chosen):
    model = dict(type='BaseEditModel', generator=dict(type='SRCNNNet'))
    MMagicInferencer(model_config=Config(dict(model=model, restorer=dict())))
    assert chosen[0][0] == 'VSRDBInferencer'


def test_mmagic_lists_the_model():
    assert 'fmanet' in MMagicInferencer.get_inference_supported_models()
    assert 'Video Super-Resolution' in MMagicInferencer.get_inference_supported_tasks()
    models = MMagicInferencer.get_task_supported_models('Video Super-Resolution')
    assert {'fmanet', 'basicvsr'} <= set(models)


def test_registering_twice_changes_nothing():
    before = MMagicInferencer.get_inference_supported_models().copy()
    register_inferencer()
    assert MMagicInferencer.get_inference_supported_models() == before
    assert before.count('fmanet') == 1


def test_is_a_video_restoration_inferencer():
    assert issubclass(VSRDBInferencer, mmagic_inferencers.VideoRestorationInferencer)


def test_importing_the_door_is_enough(tmp_path):
    """Whatever was imported before, in a fresh process."""
    script = (
        'import fmanet_mm.openmmlab\n'
        'from mmagic.apis import MMagicInferencer\n'
        'MMagicInferencer(model_name="fmanet")\n'
    )
    result = subprocess.run(
        [sys.executable, '-c', script], cwd=tmp_path, capture_output=True, text=True
    )
    assert 'ValueError: no checkpoint was given' in result.stderr
