"""Judged submissions ranked as Codabench would: store, rules, reported scores, forecast, comparison, board, page."""
