"""The guides speak of what there is."""

import ast
import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
SOURCES = ('fmanet_mm', 'tools', 'benchmarks')
GUIDES = sorted((REPO / 'docs').glob('*.md'))


def messages():
    """All strings of the code, with '…' for their variable parts."""
    for folder in SOURCES:
        for file in (REPO / folder).rglob('*.py'):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.JoinedStr):
                    yield ''.join(
                        part.value if isinstance(part, ast.Constant) else '…'
                        for part in node.values
                    )
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
    setup = (REPO / 'tools/setup_env.sh').read_text()
    yield re.sub(r'\$\(\(.*?\)\)|\$\w+', '…', setup)


def test_the_messages_explained_are_those_of_the_code():
    rows = re.findall(
        r'^\| (`.*?) \|', (REPO / 'docs/troubleshooting.md').read_text(), re.M
    )
    quoted = [text for row in rows for text in re.findall('`(.+?)`', row)]
    assert len(quoted) > 30
    known = list(messages())
    unknown = [
        text for text in quoted if not any(matches(text, other) for other in known)
    ]
    assert unknown == []


def matches(quoted, message):
    """Whether a message has the parts of a quotation, in order."""
    parts = [re.escape(part) for part in quoted.split('…')]
    return re.search('.*'.join(parts), message, re.S) is not None and any(
        len(part) > 8 for part in quoted.split('…')
    )


@pytest.mark.parametrize('guide', GUIDES, ids=lambda path: path.name)
def test_links_lead_somewhere(guide):
    for target in re.findall(r'\]\((?!http)([^)]+)\)', guide.read_text()):
        name, _, anchor = target.partition('#')
        file = guide.parent / name if name else guide
        assert file.exists(), target
        if anchor:
            titles = re.findall(r'^#+ (.*)$', file.read_text(), re.M)
            slugs = [
                re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-')
                for title in titles
            ]
            assert anchor in slugs, target


@pytest.mark.parametrize('guide', GUIDES, ids=lambda path: path.name)
def test_named_files_and_options_exist(guide):
    text = guide.read_text()
    for path in re.findall(r'\b(?:tools|configs|benchmarks)/[\w/]+\.(?:py|sh)\b', text):
        assert (REPO / path).is_file(), path
    sources = ''.join(
        file.read_text()
        for folder in SOURCES
        for pattern in ('*.py', '*.sh')
        for file in (REPO / folder).rglob(pattern)
    )
    for option in set(re.findall(r'(?<![\w-])--[a-z][\w-]+', text)):
        assert option in sources, option
