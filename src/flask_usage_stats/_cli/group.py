"""The command group that the blueprints of an application share."""

import click
from flask import Blueprint
from flask.blueprints import BlueprintSetupState
from flask.cli import AppGroup


def build_group(blueprint: Blueprint) -> AppGroup:
    """Return a group for the commands of a blueprint, which are added to an application that registers the blueprint.

    Unlike those of ``blueprint.cli``, they do not replace the commands of another blueprint with the same group.
    """
    group = AppGroup(blueprint.cli_group, help="Print usage, and check the collection that it is read from.")
    blueprint.record(lambda state: _add_commands(state, group))
    return group


def _add_commands(state: BlueprintSetupState, group: AppGroup) -> None:
    name = state.options.get("cli_group", group.name)
    if name is None:  # as in Flask: no group
        state.app.cli.commands.update(group.commands)
        return
    existing = state.app.cli.commands.get(name)
    others = existing.commands if isinstance(existing, click.Group) else {}
    # A new group, since those of the blueprint and of the application may be in other applications as well.
    state.app.cli.add_command(AppGroup(name, commands={**others, **group.commands}, help=group.help))
