"""What an experiment shows: time left, table, verdicts, figures and page."""

from spike_ctrl_studies import study, study_runner, worker_pool
from spike_ctrl_studies.figures import Bars, Figure, Level, Line, Panel, page, require, save_png
from spike_ctrl_studies.study import AGREES, DIFFERS, OPEN, Report, StudyFinding, StudyOptions, Unit, UnitResult
from spike_ctrl_studies.study_folder import Folder, markdown_table, report_text, table_cells


def test_time_left_is_the_rest_of_the_work_at_the_pace_so_far():
    units = [Unit("a", {}, 1.0), Unit("b", {}, 3.0), Unit("c", {}, 4.0)]
    account = study_runner.ProgressEstimate(units, units[1:], now=100.0)
    assert (
        account.line(worker_pool.Progress(units[1], 1 / 3, "third"), 110.01) == "1/3 units, 1:00 left, b: third"
    )  # 1 of 7 in 10 s
    assert (
        account.line(worker_pool.Done(units[1], UnitResult([])), 130.01) == "2/3 units, 0:40 left, b: done"
    )  # 3 of 7 in 30 s
    account.line(worker_pool.Done(units[2], UnitResult([])), 170.0)
    assert account.seconds_left(170.0) == 0


def test_time_left_is_not_told_while_a_study_starts_and_compiles():
    unit = Unit("a", {})
    account = study_runner.ProgressEstimate([unit], [unit], now=0.0)
    told = {0.0: 0.0, 60.0: 0.001, 61.0: 0.01, 62.0: 0.02, 64.01: 0.04}  # s: share; it compiles for a minute
    lines = [account.line(worker_pool.Progress(unit, share, "x"), now) for now, share in told.items()]
    assert [line.split()[2] for line in lines] == ["--:--", "--:--", "--:--", "--:--", "1:36"]


def test_the_report_begins_with_how_many_claims_differ_and_each_verdict():
    findings = [StudyFinding("Water is wet.", "wet.", AGREES), StudyFinding("Pigs fly.", "they fall.", DIFFERS)]
    findings += [StudyFinding("Cows sing.", "no cows.", OPEN), StudyFinding("It is fun.", "no.", DIFFERS, paper=False)]
    text = report_text(Report("Claims", [{"a": 1}], findings, notes=["measured by eye"]))
    assert text.startswith("# Claims\n\nOur result differs from 1 of 3 claims of the paper; 1 are open.\n")
    assert "- **differs** (our own question): It is fun. Measured here: no." in text
    assert "- **differs**: Pigs fly. Measured here: they fall." in text and "- measured by eye" in text


def test_a_table_shows_nothing_as_a_dash_and_keeps_bars_of_a_name():
    table = markdown_table([{"|x|": float("nan"), "y": 0.123456}, {"|x|": None, "y": 3}])
    assert table == "| \\|x\\| | y |\n| --- | --- |\n| - | 0.1235 |\n| - | 3 |\n"


def test_numbers_that_json_does_not_have_become_null(tmp_path):
    units = [Unit("a", {})]
    where = Folder(tmp_path / "out", "toy", StudyOptions(), units, {})
    where.keep(units[0], UnitResult([{"kind": "x", "nan": float("nan"), "list": [float("inf"), 1]}]))
    assert where.results() == {"a": [{"kind": "x", "nan": None, "list": [None, 1]}]}


def test_mean_and_deviation_are_those_of_what_was_reached():
    assert study.plus_minus([1.0, 3.0]) == "2.0 ± 1.4"
    assert study.plus_minus([1.0, None, 3.0], 0) == "2 ± 1 (1 of 3 never)"
    assert study.plus_minus([5.0]) == "5.0" and study.plus_minus([None]) == "-"


FIGURE = Figure(
    "all",
    "Every mark",
    [
        Panel(
            "Lines", "x", "y", [Line("ours", [1, 2], [1e-3, float("nan")], [0, 1], [1, 2]), Level("guide", 0.5)], log_y=True
        ),
        Panel("Bars", "", "y", [Bars("ours", [1, float("nan")], [0.1, 0]), Bars("paper", [2, 3], paper=True)], ["a", "b"]),
    ],
)


def test_a_figure_is_drawn_as_a_png_of_all_its_panels(tmp_path):
    save_png(FIGURE, tmp_path / "all.png")
    data = (tmp_path / "all.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    assert width > 1000 and 400 < height < 800


def test_the_name_of_a_level_stands_where_no_curve_lies_over_it(tmp_path, monkeypatch):
    from matplotlib.figure import Figure as Sheet

    drawn = []
    monkeypatch.setattr(Sheet, "savefig", lambda sheet, path: drawn.append(sheet))
    for end in (50.0, 0.0):  # the second curve falls through the level at the right, as a failing training does
        marks = [Line("ours", [0, 1.5, 2], [50, 50, end]), Level("the paper's", 10.0)]
        save_png(Figure("one", "One", [Panel("Curve", "x", "y", marks)]), tmp_path / "one.png")
    free, crossed = (next(text for text in sheet.axes[0].texts if text.get_text() == "the paper's") for sheet in drawn)
    assert free.get_ha() == "right" and crossed.get_ha() == "center"


def test_more_than_three_panels_stand_below_each_other_in_picture_and_page(tmp_path):
    many = Figure("many", "Five", [FIGURE.panels[0]] * 5)
    save_png(many, tmp_path / "all.png")
    data = (tmp_path / "all.png").read_bytes()
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    assert width < height < 2 * width  # three rows of two
    assert [axis for axis in ("xaxis5", "xaxis6") if axis in page("Five", [many])] == ["xaxis5"]


def test_the_page_needs_no_network_and_shows_names_as_text():
    require()
    text = page("a < b", [FIGURE, FIGURE])
    assert "a &lt; b" in text and text.count("<h2>Every mark</h2>") == 2
    assert not [line for line in text.splitlines() if "<script" in line and "src=" in line.split("</script>")[0][:200]]
    assert text.count("plotly.js v") == 1 and text.count("Plotly.newPlot(") >= 2
    assert "NaN" not in text.split("Plotly.newPlot(")[-1]


def test_the_table_of_a_study_is_printed_without_marks_of_markdown(tmp_path, monkeypatch):
    rows = [{"unit": "a|b", "return": "455.3 +- 1.5"}, {"unit": "c", "return": "1.0"}]
    assert [table_cells(line) for line in markdown_table(rows).splitlines()][2] == ["a|b", "455.3 +- 1.5"]
    (tmp_path / "report.md").write_text(f"# Title\n\n- **agrees**: so\n\n## Table\n\n{markdown_table(rows)}\n## Figures\n")
    told = study_runner.summary(type("Folder", (), {"path": tmp_path}))
    assert told.splitlines()[-3:] == ["unit        return", "a|b   455.3 +- 1.5", "c              1.0"]
