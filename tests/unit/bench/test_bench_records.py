import json
import sys
from typing import Any

import pytest

from tests.bench import options, plots, records, report
from tests.bench.crash import final_by_second, longest_silence
from tests.bench.judging import Judgement, judge_receipts, judge_refusals
from tests.bench.plots import Panel, Plot
from tests.bench.receipts import Audit
from tests.bench.records import Result
from tests.bench.sweeps import VALUES, find_knee, point
from tests.bench.tables import Table, cell_text
from tests.bench.usage import Look

NO_NETWORK: Any = None


def saved(root, kind, asked, figures, name):
    folder = root / name
    folder.mkdir(parents=True)
    records.save(folder, Result(kind, asked, figures=figures), {})


def test_a_run_is_compared_with_the_newest_of_its_kind_and_options(tmp_path):
    assert records.find_earlier(tmp_path, "run", {"rate": 5}) is None
    saved(tmp_path, "run", {"rate": 5}, {"final tx/s": 1.0}, "2026-01-01-run")
    saved(tmp_path, "run", {"rate": 5}, {"final tx/s": 2.0}, "2026-01-02-run")
    saved(tmp_path, "run", {"rate": 6}, {"final tx/s": 3.0}, "2026-01-03-run")
    saved(tmp_path, "knee", {"rate": 5}, {"final tx/s": 4.0}, "2026-01-04-knee")
    (tmp_path / "2026-01-05-run").mkdir()
    (tmp_path / "2026-01-06-run").mkdir()
    (tmp_path / "2026-01-06-run" / "summary.json").write_text("{")
    earlier = records.find_earlier(tmp_path, "run", {"rate": 5})
    assert earlier is not None
    assert earlier.name == "2026-01-02-run"
    table = records.comparison({"final tx/s": 3.0, "new one": 1.0, "lost": None}, earlier)
    assert table.rows == [["final tx/s", 3.0, 2.0, 1.5], ["new one", 1.0, None, None], ["lost", None, None, None]]


def test_options_that_are_paths_or_words_do_not_hinder_a_comparison():
    one, other = (options.compared(options.read(["sweep", "rate", *more])) for more in ([], ["--directory", "/x"]))
    assert one == other
    assert json.loads(json.dumps(one)) == one
    assert one != options.compared(options.read(["sweep", "size"]))


@pytest.mark.parametrize("arguments", [["sweep"], ["nonsense"], ["--warm-up", "40"], ["--crashed", "4"]])
def test_what_cannot_be_asked_for(arguments, capsys):
    with pytest.raises(SystemExit):
        options.read(arguments)
    assert capsys.readouterr().err


def test_catching_up_is_a_word_and_an_option():
    assert options.read(["--catch-up", "30"]).word == options.read(["catch-up"]).word == "catch-up"


def test_every_variable_makes_a_network_and_a_load():
    asked = options.read(["--delay-ms", "50", "--loss", "0.01"])
    for variable, values in VALUES.items():
        shape, load = point(variable, values[-1], options.shape(asked), options.load(asked, 100.0))
        changed = {"rate": load.rate, "size": load.size, "namespaces": shape.namespaces, "validators": shape.validators}
        assert changed[variable] == values[-1]
        assert shape.needs_hosts
    with pytest.raises(ValueError, match="nonsense"):
        point("nonsense", 1, options.shape(asked), options.load(asked))


def test_a_table_is_aligned_and_says_what_is_missing():
    table = Table("title", ("name", "ms"), [["a", 1234.5], ["long", None]], "a note")
    assert table.text() == "title\n  name     ms\n  a     1,234\n  long      –\n  a note"
    assert [cell_text(cell) for cell in (0.0123, 1.26, 1_000_000, True, "x")] == [
        "0.012",
        "1.3",
        "1,000,000",
        "yes",
        "x",
    ]


def test_the_page_holds_everything_and_nothing_that_runs():
    result = Result("run<script>", {"rate": 5}, tables=[Table("t", ("a",), [["<b>"]], "n & m")], failures=["<i>"])
    result.plots.append(Plot("p", "P", "x", []))
    text = report.page(result, {"cores": 2}, [("Load & more", b"\x89PNG")])
    assert "<script" not in text
    assert "&lt;b&gt;" in text
    assert "n &amp; m" in text
    assert "&lt;i&gt;" in text
    assert 'src="data:image/png;base64,iVBORw=="' in text
    assert "http" not in text
    assert "matplotlib is not installed" in report.page(result, {}, [])


def test_without_matplotlib_there_is_no_plot(monkeypatch):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    assert plots.draw(Plot("p", "P", "x", [Panel("y", {"a": [(1.0, 2.0)]})])) is None


def test_a_plot_is_a_png():
    pytest.importorskip("matplotlib")
    panels = [Panel("ms", {"a": [(1, 2), (2, None), (3, 4)]}, True, [(2, "killed")]), Panel("tx/s", {"b": [(1, 0)]})]
    png = plots.draw(Plot("p", "P", "seconds", panels))
    assert png is not None
    assert png.startswith(b"\x89PNG\r\n")


def test_throughput_by_second_is_that_of_the_validator_that_stayed():
    looks = [Look(float(at), 0, 0, 0, 0, 100.0 * at) for at in range(6)]
    looks += [Look(float(at), 1, 0, 0, 0, 7.0) for at in (0, 1, 5)]
    assert final_by_second(looks) == dict.fromkeys(range(5), 100.0)
    assert longest_silence([["0", 5.0], ["1", 0.0], ["2", None], ["3", 1.0], ["4", 0.0]]) == 2


def test_properties_hold_or_are_failures():
    judgement = Judgement("overload")
    judge_refusals(judgement, ["full", "known"], [])
    judge_receipts(judgement, Audit(3, 9, 6))
    assert judgement.failures() == []
    judge_refusals(judgement, ["internal"], ["reset"])
    judge_receipts(judgement, Audit(3, 9, 6, ["0x1 never became final"]))
    assert len(judgement.failures()) == 3
    assert len(judgement.rows()) == 6


class FakeMeasured:
    def __init__(self, is_below_the_knee):
        self.is_below_the_knee = is_below_the_knee


@pytest.mark.parametrize("limit", [3_000, 10_000, 47_000, 90_000])
async def test_the_search_ends_at_the_knee(limit, monkeypatch):
    async def measure(_network, load):
        return FakeMeasured(load.rate <= limit)

    monkeypatch.setattr("tests.bench.sweeps.measure", measure)
    tried = []
    best = await find_knee(NO_NETWORK, options.load(options.read([])), 8_000.0, lambda rate, _: tried.append(rate))
    assert limit / 1.1 <= best <= limit
    assert len(tried) < 12


async def test_the_search_gives_up(monkeypatch):
    async def measure(_network, _load):
        return FakeMeasured(is_below_the_knee=False)

    monkeypatch.setattr("tests.bench.sweeps.measure", measure)
    assert await find_knee(NO_NETWORK, options.load(options.read([])), 8_000.0, lambda *_: None) == 0
