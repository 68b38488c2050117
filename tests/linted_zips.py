"""The lint of zips that tests make, and what several of its test files hold."""

from submissions import pack

from build.score.environment import ServerEnvironment
from build.score.lint import lint

SERVER = ServerEnvironment.read()
CLASS = "\nclass Model:\n    def predict(self, X):\n        return X\n"
LOADS = "import keras, os\nnet = keras.models.load_model(os.path.join(os.path.dirname(__file__), 'w.keras'))\n"


def linted(folder, members, server=SERVER):
    """(rule, severity, place) of every finding, in the order of the lint."""
    found = lint(pack(folder / "submission.zip", members), server)
    assert all(finding.message and (finding.remedy or finding.severity == "note") for finding in found), found
    return [(finding.rule, finding.severity, finding.place) for finding in found]
