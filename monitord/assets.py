"""Where the data folders lie: inside the installed package, or beside it in a checkout."""

from pathlib import Path

from monitord.errors import AssetError


def root() -> Path:
    """
    Return the folder that holds `config/`, `sql/` and `web/`.

    Raises AssetError: neither the package nor a checkout around it has them.
    """
    package = Path(__file__).parent
    for folder in (package / "_assets", package.parent):
        if (folder / "config" / "defaults.yaml").is_file():
            return folder
    raise AssetError(f"{package}: the data folders are missing; install monitord again")


def folder(name: str) -> Path:
    """
    Return one data folder by its name, such as `sql/queries`.

    Raises AssetError: it is missing (a checkout whose page was never built has no `web/dist`).
    """
    path = root() / name
    if not path.is_dir():
        raise AssetError(
            f"{path}: not found; run 'make' targets through the Makefile, or 'pip install .'"
        )
    return path
