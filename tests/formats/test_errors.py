"""Whatever is wrong with a policy file, the error names file, table, key and value, and says what to do."""

from __future__ import annotations

import pytest

from pinio import Anchors, PinError, PinFormatError, PinWarning, PolicyError
from pinio.formats import FORMATS
from tests.formats.policies import OTHER, PIN, authority

loads = FORMATS["native"].loads

HOST = f'version = 1\n[hosts."api.example.com"]\npins = ["{PIN}", "{OTHER}"]\n'
WIDE = "\N{FULLWIDTH LATIN SMALL LETTER A}pi"
PLACE = 'pins.toml: [hosts."api.example.com"]'

# The text of a file, and everything that its error must say, in this order.
AT_THE_TOP = {
    "": ["pins.toml: version is missing", "version = 1"],
    'unpinned = "refuse"': ["pins.toml: version is missing", "version = 1"],
    "version = 2": ["pins.toml: version = 2: ", "version 1"],
    "version = 2\nwhatever = 1": ["pins.toml: version = 2: "],
    'version = "1"': ['pins.toml: version = "1": text; ', "whole number"],
    "version = true": ["pins.toml: version = true: a boolean; "],
    "version = 1.0": ["pins.toml: version = 1.0: a float; "],
    f"version = 0x{'f' * 9000}": ["pins.toml: version = (a number of 36000 bits): "],
    "version = 1\nunpined = 'refuse'": ["pins.toml: unknown key unpined; did you mean 'unpinned'?"],
    "version = 1\n'un pinned' = 1": ['pins.toml: unknown key "un pinned"; did you mean'],
    "version = 1\nzzz = 1": ["pins.toml: unknown key zzz; the keys are version, revision, "],
    "version = 1\nunpinned = 'alow'": ["pins.toml: unpinned = \"alow\": did you mean 'allow'?"],
    "version = 1\nunpinned = 'no'": ['pins.toml: unpinned = "no": it is one of refuse, allow'],
    "version = 1\nunpinned = false": ["pins.toml: unpinned = false: a boolean; "],
    "version = 1\nrevision = 7": ["pins.toml: revision = 7: an integer; "],
    "version = 1\nrevision = 'a\tb'": [r'pins.toml: revision = "a\tb": ', "one line"],
    f"version = 1\ndeny = '{PIN}'": ["pins.toml: deny = ", "text; write an array"],
    "version = 1\ndeny = ['sha256/AA']": ["pins.toml: deny, item 1: 'sha256/AA' is not a pin"],
    f"version = 1\ndeny = ['{PIN}', 2027-01-01]": ["pins.toml: deny, item 2 = 2027-01-01: a date, "],
    f"version = 1\ndeny = ['leaf:{PIN}']": ["pins.toml: deny leaf:", "role"],
    "version = 1\nunpinned_anchors = 'ca.pem'": ['pins.toml: unpinned_anchors = "ca.pem": ', "a path, "],
    "version = 1\nno_hosts = true": ["pins.toml: no_hosts = true: a boolean; "],
    "version = 1\nno_hosts = ' '": ['pins.toml: no_hosts = " ": ', "one line"],
    "version = 1\nno_hosts = 'a\tb'": [r'pins.toml: no_hosts = "a\tb": ', "one line"],
    HOST.replace("\n", "\nno_hosts = 'gone'\n", 1): ['pins.toml: no_hosts = "gone": ', '[hosts."api.example.com"]'],
    "version = 1\nhosts = 1": ["pins.toml: hosts = 1: an integer; write a table, [hosts]"],
    "version = 1\n[[hosts]]": ["pins.toml: hosts = […]: an array; write a table"],
    "version = 1\nexempt = ['example.com']": ["pins.toml: exempt = […]: an array; "],
    f"version = 1\n[hosts]\n'example.com' = ['{PIN}']": ['[hosts] "example.com" = […]: an array; ', "pins ="],
    f"version = 1\n[hosts.example.com]\npins = ['{PIN}']": ["[hosts.example]: unknown key com; ", "quote the whole name"],
    f"version = 1\n[hosts.device.test]\npins = ['{PIN}']": [
        "[hosts.device]: unknown key test; ", 'quote the whole name: [hosts."device.test"]'
    ],
    "version = 1\n[hosts]\ndevice.test.pins = []": ['quote the whole name: [hosts."device.test"]'],
    f"version = 1\n[hosts.api.example.com]\npins = ['{PIN}']": ['[hosts."api.example.com"]'],
    f"version = 1\n[hosts.192.0.2.7]\npins = ['{PIN}']": ['[hosts."192.0.2.7"]'],
    "version = 1\n[hosts.my.trust]\npins = []": ["[hosts.my] trust = {…}: a table; ", '[hosts."my.trust"]'],
    f"version = 1\n[hosts.a]\npins = ['{PIN}', '{OTHER}']\n[hosts.a.test]": ['[hosts."a.test"]'],
    "version = 1\n[hosts.**.example.com]": ["not TOML", "host names are quoted: [hosts."],
    "version = 1\n[hosts.bücher.example]": ["not TOML", "host names are quoted: [hosts."],
    "version = 1\n[hosts.example.com:443]": ["not TOML", "host names are quoted: [hosts."],
    "version = 1\n[exempt]\n*.example.com = 'why'": ["not TOML", 'host names are quoted: "*.example.com" = '],
    f"version = 1\n[hosts.'*.*.example.com']\npins = ['{PIN}', '{OTHER}']": [
        """[hosts] "*.*.example.com": '*.*.example.com' is not a host pattern: """, "wildcard"
    ],
    f"version = 1\n[hosts.localhost]\npin = ['{PIN}']": ["[hosts.localhost]: unknown key pin; did you mean 'pins'?"],
    "version = 1\n[exempt]\nwww.example.com = 'why'": [
        "pins.toml: [exempt] www = {…}: a table; ", 'quote the whole name: "www.example.com" = '
    ],
    "version = 1\n[exempt]\n'example.com' = true": ['[exempt] "example.com" = true: a boolean; '],
    "version = 1\n[exempt]\n'example.com' = ' '": ["pins.toml: exempt example.com: the reason"],
    "version = 1\n[exempt]\n'a.*.com' = 'why'": ['pins.toml: [exempt] "a.*.com": ', "wildcard"],
    HOST + '[hosts."API.example.com."]\npins = ["' + PIN + '"]': [
        'pins.toml: [hosts] "API.example.com.": [hosts] "api.example.com" stands for the same hosts'
    ],
    HOST + f'[exempt]\n"{WIDE}.example.com" = "why"': [
        f'pins.toml: [exempt] "{WIDE}.example.com": [hosts] "api.example.com" stands for the same hosts'
    ],
    HOST + HOST.partition("\n")[2]: ["pins.toml: this is not TOML: ", "(at line 4, column "],
    f"version = 1\n[hosts.'']\npins = ['{PIN}']": ['pins.toml: [hosts] "": ', "empty label"],
    f"version = 1\n[hosts.'{'a' * 9999}']\npins = ['{PIN}']": ['[hosts] "aaa', "...", "9999 characters is too long"],
}  # fmt: skip

OF_A_HOST = {
    "pin = 1": ["unknown key pin; did you mean 'pins'?"],
    "unpinned = 'allow'": [
        "unknown key unpinned; it belongs at the top of the file, before the first [table]"
    ],
    "backup = 'sha256/AA'": ['backup = "sha256/AA": text; write an array'],
    "backup = ['sha256/AA']": ["backup, item 1: 'sha256/AA' is not a pin"],
    "backup = [[]]": ["backup, item 1 = […]: an array, "],
    "single = ''": ["single is the reason"],
    "single = 1": ["single = 1: an integer; "],
    "expires = 2027-06-30": ["expires = 2027-06-30: a date; ", "2027-06-30T00:00:00Z"],
    "expires = 2027-06-30T00:00:00": ["expires = 2027-06-30T00:00:00: it has no time zone; add Z"],
    "expires = 12:00:00": ["expires = 12:00:00: a time; "],
    "expires = '2027-06-30T00:00:00Z'": ['expires = "2027-06-30T00:00:00Z": text; ', "unquoted"],
    "expires = 0001-01-01T00:00:00+01:00": ["expires", "9999"],
    "on_expiry = 'reprot'": ["on_expiry = \"reprot\": did you mean 'report'?"],
    "mode = 'report'": ["mode = \"report\": did you mean 'report-only'?"],
    "mode = 'off'": ['mode = "off": it is one of enforce, report-only'],
    "trust = 'leaf_pin'": ["trust = \"leaf_pin\": did you mean 'leaf-pin'?"],
    "trust = 'leaf-pin'\nmode = 'report-only'": ["cannot be waived"],
    f"trust = 'leaf-pin'\nbackup = ['ca:{OTHER}']": [f"ca:{OTHER}"],
    "anchors = ''": ['anchors = "": write "certifi", "system", the path'],
    "anchors = 'ca.pem'": ['anchors = "ca.pem": a path, '],
    "anchors = '-----BEGIN NONSENSE-----'": [
        'anchors = "-----BEGIN NONSENSE-----": no PEM certificate'
    ],
    "anchors = true": ["anchors = true: a boolean; "],
    "resumption = 'no'": ['resumption = "no": text; write true or false'],
    f"zzz = '{'z' * 10**6}'": ["unknown key zzz; the keys are pins, "],
    f"mode = '{'z' * 10**6}'": ['mode = "zzz', "...", "it is one of"],
}


def _says(text: str, parts: list[str]) -> None:
    rest = text
    for part in parts:
        assert part in rest, text
        rest = rest.partition(part)[2]
    assert len(text) < 1000
    assert "\n" not in text


@pytest.mark.parametrize(("text", "parts"), AT_THE_TOP.items(), ids=range(len(AT_THE_TOP)))
@pytest.mark.filterwarnings("ignore::pinio.PinWarning")
def test_P9_an_error_names_file_table_key_and_value(text: str, parts: list[str]) -> None:
    with pytest.raises(PinError) as caught:
        loads(text, where="pins.toml")
    assert str(caught.value).startswith("pins.toml: ")
    _says(str(caught.value), parts)


@pytest.mark.parametrize(("lines", "parts"), OF_A_HOST.items(), ids=range(len(OF_A_HOST)))
def test_P9_an_error_about_a_host_names_it(lines: str, parts: list[str]) -> None:
    with pytest.raises(PinError) as caught:
        loads(HOST + lines, where="pins.toml")
    assert str(caught.value).startswith(PLACE)
    _says(str(caught.value), parts)


def test_a_text_that_is_no_pin_is_an_error_about_a_pin() -> None:
    with pytest.raises(PinFormatError):
        loads(HOST + "backup = ['md5/AA']")


@pytest.mark.parametrize("lines", ["", "pins = []"])
def test_a_host_needs_pins(lines: str) -> None:
    with pytest.raises(PolicyError, match=r'\[hosts\."a\.example"\]: .*without pins'):
        loads(f'version = 1\n[hosts."a.example"]\n{lines}')


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HOST.replace("api.example.com", "**.com"), "covers a whole top-level domain"),
        ('version = 1\nunpinned = "allow"', "allows every host"),
        (f'version = 1\n[hosts."a.example"]\npins = ["{PIN}"]', "one pin and no backup"),
        (HOST + f'backup = ["{PIN}"]', "stands in the set twice, in service and as a backup"),
        (f'version = 1\ndeny = ["{PIN}", "{PIN}"]', "stands in deny twice"),
    ],
)
def test_P9_a_warning_names_the_file(text: str, why: str) -> None:
    """A program may read several, and its line is the same for each."""
    with pytest.warns(PinWarning, match=rf"^pins.toml: .*{why}"):
        loads(text, where="pins.toml")


def test_a_path_of_anchors_goes_to_who_loads_them_once() -> None:
    asked: list[str] = []

    def load(path: str) -> Anchors:
        asked.append(path)
        return Anchors.from_pem(authority(1))

    more = f'[hosts."b.example"]\npins = ["{PIN}", "{OTHER}"]\nanchors = "ca.pem"\n'
    policy = loads(HOST + 'anchors = "ca.pem"\n' + more, anchors=load)
    assert asked == ["ca.pem"]
    assert {pins.anchors for pins in policy.hosts.values()} == {Anchors.from_pem(authority(1))}


def test_what_is_wrong_with_anchors_is_said_beside_their_path() -> None:
    def load(path: str) -> Anchors:
        raise PolicyError("cannot be read: it is on fire")

    with pytest.raises(PolicyError) as caught:
        loads(HOST + 'anchors = "ca.pem"', where="pins.toml", anchors=load)
    assert str(caught.value) == f'{PLACE} anchors = "ca.pem": cannot be read: it is on fire'
