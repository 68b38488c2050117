"""The judge: corruptions, suites, worker, metrics, leaderboard. It sees the zip alone and never imports the trainer."""
