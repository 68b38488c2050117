"""The bench of the judge measures a real submission in both ways and compares what they predict."""

import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from build.bench import judge as bench
from build.bench import turns


def test_the_clock_counts_processes_that_were_started_and_the_wall():
    work = "import time\nwhile time.process_time() < 0.3: pass\ntime.sleep(0.2)"
    wall, processor = bench.clocked(lambda: subprocess.run([sys.executable, "-c", work], check=True))
    assert processor >= 0.3
    assert wall >= 0.5


@pytest.mark.slow
def test_the_bench_of_the_judge_runs_a_real_submission(tmp_path, monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr(bench, "console", Console(file=text, width=140))
    monkeypatch.setattr(bench, "IMAGES", 5)
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(turns, "RESULTS", tmp_path)
    bench.main()
    facts = json.loads((tmp_path / "judge.json").read_text())
    assert facts["images"] == 5
    assert facts["bare"]["cpu_s"] > 1  # a framework was started
    assert facts["judge_with_probes"]["cpu_s"] > facts["bare"]["cpu_s"]
    assert facts["allowed_s"]["wall"] == pytest.approx(3 + 0.1 * facts["bare"]["wall_s"], abs=0.02)
    assert "Target: at most 3 s + 10%" in text.getvalue()
