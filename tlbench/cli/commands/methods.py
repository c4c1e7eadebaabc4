"""``tlbench methods``: the methods, with the suites that each supports."""

from __future__ import annotations

from tlbench.cli.show import print_table


def command() -> None:
    """List the methods, with the suites that each supports."""
    from tlbench.execution.plan import unsupported
    from tlbench.execution.selection import MethodChoice
    from tlbench.protocol.discovery import aliases, methods, suites

    names = {target: alias for alias, target in aliases().items()}
    rows = []
    for entry in methods().values():
        supported = [
            suite.id
            for suite in suites().values()
            if not unsupported(suite, MethodChoice(entry.id), [*suite.transfers])
        ]
        rows.append([entry.id, names.get(entry.id, ""), entry.learner or "", ", ".join(supported), entry.summary])
    print_table("", ["method", "alias", "learner", "suites", "what it does"], rows)
