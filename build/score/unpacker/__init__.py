"""The rules of Codabench's unpacker for competition bundles, one file a part of competition.yaml."""
