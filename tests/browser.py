"A browser without a window: Debian's chromium, driven by its chromedriver over the WebDriver protocol"
import base64, json, re, shutil, subprocess, urllib.request
import pytest

programs = [shutil.which('chromium') or shutil.which('google-chrome'), shutil.which('chromedriver')]
needs_browser = pytest.mark.skipif(not all(programs), reason='needs a browser: apt-get install chromium chromium-driver')
flags = '--headless=new','--no-sandbox','--disable-gpu','--disable-dev-shm-usage','--hide-scrollbars','--allow-file-access-from-files'

class Browser:
    "One window; `close` ends it"
    def __init__(self):
        self.driver = subprocess.Popen([programs[1], '--port=0'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        port = next(m[1] for line in self.driver.stdout if (m := re.search(r'successfully on port (\d+)', line)))
        self.url = f'http://localhost:{port}/session'
        options = {'binary': programs[0], 'args': flags}
        wanted = {'goog:chromeOptions': options, 'goog:loggingPrefs': {'browser': 'ALL'}}
        self.url += '/' + self.call('', capabilities={'alwaysMatch': wanted})['sessionId']

    def call(self, path, **body):
        "The value that a command of WebDriver returns"
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {'Content-Type': 'application/json'})
        with urllib.request.urlopen(request, timeout=60) as res: return json.load(res)['value']

    def cdp(self, command, **params): return self.call('/goog/cdp/execute', cmd=command, params=params)
    def open(self, url): self.call('/url', url=url)
    def run(self, script, *args): return self.call('/execute/sync', script=script, args=args)

    def errors(self):
        "What the console holds of errors since the last call"
        return [o['message'] for o in self.call('/se/log', type='browser') if o['level'] == 'SEVERE']

    def screen(self, width, height, dark=False):
        "Behave as a screen of this size; a narrow one is a phone's"
        self.cdp('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        theme = [{'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}]
        self.cdp('Emulation.setEmulatedMedia', features=theme)

    def picture(self, path): path.write_bytes(base64.b64decode(self.cdp('Page.captureScreenshot')['data']))

    def close(self):
        try: urllib.request.urlopen(urllib.request.Request(self.url, method='DELETE'), timeout=20).close()
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.driver.stdout.close()
