"""Names that Python's standard library got after Python 3.11, as far as an import or an attribute of a module shows them.

From What's New In Python 3.12 and 3.13 and the difference of the modules' own names under 3.11 and 3.13. Methods (Path.walk) and new
arguments are not among them: a source does not tell what it calls them on.
"""

_ADDED = {
    (3, 12): {
        "asyncio": "create_eager_task_factory eager_task_factory",
        "calendar": "Day Month JANUARY FEBRUARY MARCH APRIL MAY JUNE JULY AUGUST SEPTEMBER OCTOBER NOVEMBER DECEMBER",
        "collections.abc": "Buffer",
        "csv": "QUOTE_NOTNULL QUOTE_STRINGS",
        "inspect": "BufferFlags getasyncgenlocals getasyncgenstate markcoroutinefunction",
        "itertools": "batched",
        "logging": "getHandlerByName getHandlerNames",
        "math": "sumprod",
        "os": "setns unshare",
        "os.path": "isjunction splitroot",
        "random": "binomialvariate",
        "sys": "activate_stack_trampoline deactivate_stack_trampoline is_stack_trampoline_active monitoring",
        "threading": "setprofile_all_threads settrace_all_threads",
        "types": "get_original_bases",
        "typing": "TypeAliasType override",
    },
    (3, 13): {
        "asyncio": "EventLoop QueueShutDown",
        "base64": "z85decode z85encode",
        "copy": "replace",
        "enum": "EnumDict",
        "glob": "translate",
        "math": "fma",
        "mimetypes": "guess_file_type",
        "os": "process_cpu_count timerfd_create timerfd_gettime timerfd_settime",
        "os.path": "isdevdrive",
        "pathlib": "UnsupportedOperation",
        "queue": "ShutDown",
        "re": "PatternError",
        "statistics": "kde kde_random",
        "typing": "NoDefault ReadOnly TypeIs get_protocol_members is_protocol",
        "warnings": "deprecated",
    },
}
FIRST_PYTHON = {
    f"{module}.{name}": python
    for python, modules in _ADDED.items()
    for module, names in modules.items()
    for name in names.split()
}
"""Dotted name -> (major, minor) of the first Python that has it."""
