"""The ``flask usage`` command group."""
