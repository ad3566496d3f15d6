"""A browser without a window, driven through the W3C WebDriver protocol."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

OPTIONS = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--disable-background-networking',
    '--window-size=1200,1000',
]
CHROMIUM, DRIVER = map(shutil.which, ('chromium', 'chromedriver'))

KEYS = dict(left='\ue012', right='\ue014', home='\ue011', end='\ue010')


class Browser:
    """Headless Chromium; a context manager."""

    def __enter__(self):
        self._driver = subprocess.Popen(
            [DRIVER, '--port=0'], stdout=subprocess.PIPE, text=True
        )
        line = next(x for x in self._driver.stdout if 'successfully on port' in x)
        self._url = f'http://127.0.0.1:{line.split()[-1].rstrip(".")}/session'
        try:
            options = {
                'goog:chromeOptions': dict(binary=CHROMIUM, args=OPTIONS),
                'goog:loggingPrefs': dict(browser='ALL'),
            }
            session = self._call('POST', '', capabilities=dict(alwaysMatch=options))
        except BaseException:
            self._driver.kill()
            raise
        self._url += f'/{session["sessionId"]}'
        return self

    def __exit__(self, *_):
        try:
            self._call('DELETE', '')
        finally:
            self._driver.terminate()
            self._driver.wait(10)
            self._driver.stdout.close()

    def _call(self, method, path, **body):
        request = urllib.request.Request(
            self._url + path,
            json.dumps(body).encode() if method == 'POST' else None,
            {'Content-Type': 'application/json'},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)['value']

    def open(self, path):
        self._call('POST', '/url', url=Path(path).as_uri())

    def run(self, script):
        """The value of a JavaScript expression."""
        return self._call('POST', '/execute/sync', script=f'return {script}', args=[])

    def wait(self, script, seconds=10):
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, f'not true after {seconds} s: {script}'
            time.sleep(0.05)

    def emulate(self, scheme='light', width=1200, height=1000):
        """Set the colour scheme and the size of the window."""
        for command, params in (
            (
                'Emulation.setEmulatedMedia',
                dict(features=[dict(name='prefers-color-scheme', value=scheme)]),
            ),
            (
                'Emulation.setDeviceMetricsOverride',
                dict(width=width, height=height, deviceScaleFactor=1, mobile=False),
            ),
        ):
            self._call('POST', '/goog/cdp/execute', cmd=command, params=params)

    def drag(self, start, *stops):
        """Press the mouse button at a point, move it and let it go."""
        moves = [
            dict(type='pointerMove', x=round(x), y=round(y), duration=50)
            for x, y in (start, *stops)
        ]
        down, up = (dict(type=kind, button=0) for kind in ('pointerDown', 'pointerUp'))
        actions = [moves[0], down, *moves[1:], up]
        mouse = dict(type='pointer', id='mouse', actions=actions)
        self._call('POST', '/actions', actions=[mouse])

    def press(self, *keys):
        """Press keys, named as in ``KEYS`` or characters."""
        keys = [KEYS.get(key, key) for key in keys]
        actions = [
            dict(type=kind, value=key) for key in keys for kind in ('keyDown', 'keyUp')
        ]
        keyboard = dict(type='key', id='keyboard', actions=actions)
        self._call('POST', '/actions', actions=[keyboard])

    def messages(self):
        """What the page wrote to the console since the last call, errors for one."""
        return [x['message'] for x in self._call('POST', '/se/log', type='browser')]

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self._call('GET', '/screenshot')))
