"""A walk through one competition.yaml: what the rules of the unpacker share."""

from pathlib import Path

from build.score.outcome import Finding


class Walk:
    """The YAML's values, the bundle's folder, and what was found so far."""

    def __init__(self, folder: Path, values: dict):
        self.folder, self.values = folder, values
        self.findings: list[Finding] = []

    def say(self, rule: str, message: str, remedy: str, severity: str = "error") -> None:
        """Add a finding."""
        self.findings.append(Finding(rule, severity, message, remedy, "competition.yaml"))

    def inside(self, name: object) -> Path | None:
        """The path of a file that the YAML names, None where it is no text or leads out of the bundle."""
        if not isinstance(name, str) or not name:
            return None
        try:
            path = (self.folder / name).resolve()
            path.exists()
        except (OSError, ValueError):  # longer than a name may be, or with a null byte
            return None
        return path if path.is_relative_to(self.folder.resolve()) else None

    def text_file(self, rule: str, what: str, name: object) -> None:
        """Report a text file that is missing or empty."""
        path = self.inside(name)
        if path is None or not path.is_file():
            self.say(
                rule,
                f"{what} names the file {name!r}, which is not in the bundle.",
                "Add the file or correct its path.",
            )
        elif not path.read_bytes().strip():
            self.say(rule, f"{what} names the file {name!r}, which is empty.", "Write something into it.")

    def listed(self, key: str, remedy: str) -> list[dict]:
        """The entries of a list that must be there, whose rule bears its name; what is no mapping is reported and left out."""
        found = self.values.get(key)
        if not isinstance(found, list) or not found:
            self.say(key, f"competition.yaml has no list {key!r}.", remedy)
            return []
        for entry in found:
            if not isinstance(entry, dict):
                self.say(key, f"An entry of {key!r} is {entry!r}, not a mapping.", remedy)
        return [entry for entry in found if isinstance(entry, dict)]
