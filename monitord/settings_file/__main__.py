"""Writes the documented defaults and the schema: `python -m monitord.settings_file config`."""

import sys

from pathlib import Path

from monitord.settings_file.documents import defaults_yaml, schema_json


def main(folder: Path) -> None:
    (folder / "defaults.yaml").write_text(defaults_yaml())
    (folder / "monitord.schema.json").write_text(schema_json())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
