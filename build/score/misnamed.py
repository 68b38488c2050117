"""Files that a zip has under another name or in another place than whoever looks for them says."""

from collections.abc import Collection


def misspelt(name: str, members: Collection[str]) -> tuple[str, str] | None:
    """(what to say of `name`, remedy) where the zip has that file, but for capitals or backslashes."""

    def alike(one: str) -> str:
        return one.replace("\\", "/").removeprefix("./").casefold()

    wanted = alike(name)
    found = min((one for one in members if alike(one) == wanted), default="")
    if found in ("", name.removeprefix("./")):
        return None
    if "\\" in found:
        return f"but the zip has it as {found!r}, whose backslashes are no folder.", "Zip it with forward slashes."
    why = "a backslash is no folder on the server" if "\\" in name else "the server tells capitals apart"
    return f"but the zip has it as {found!r}: {why}.", f"Write {found!r}; open it by Path(__file__).parent."


def misplaced(names: Collection[str]) -> tuple[str, str, str]:
    """(sentence, remedy, file) for a zip of these files, without model.py at its root; "" where no file comes close."""
    nested = [name for name in names if name.endswith("/model.py") and "__MACOSX" not in name.split("/")]
    if nested:
        file = min(nested, key=lambda name: (name.count("/"), name.split("/")))
        folder = file.removesuffix("/model.py")
        sentence = f"model.py is not at the root of the zip but in {folder}/."
        return sentence, f"Zip the contents of {folder}/, not the folder.", file
    if named := min((name for name in names if name.endswith("\\model.py")), default=""):
        sentence = f"model.py is in the zip as {named!r}, whose backslashes are no folder on the server."
        return sentence, "Zip the contents of the folder, with forward slashes.", named
    if other := min((name for name in names if name.lower() == "model.py"), default=""):
        return f"The file is called {other}; the server looks for model.py.", "Rename it.", other
    return "There is no model.py in the zip.", "Add model.py with the class Model.", ""
