"""
From monitord.yaml and the environment to `settings.Settings`: `load`.

    tree      YAML text -> nodes that know their line
    values    one scalar -> one checked value
    keys      the table of every key; the schema and config/defaults.yaml are written from it
    read      nodes + table -> structs
    rules     what one key cannot say alone
"""

from monitord.settings_file.load import load


__all__ = ["load"]
