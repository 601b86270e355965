"""The command line, `spike-ctrl VERB`. One file is one verb, and a new file here is a new verb.

A verb is a module with

    docstring       its help: the first line is the summary, the rest the description
    GROUP           under which heading `spike-ctrl --help` lists it: one of `main.GROUPS`
    EXAMPLES        command lines, one a line; the tests parse each
    add(parser)     declares its arguments
    run(options)    does the work and gives the exit code; raises UsageError for what cannot be done

A package outside the library adds a verb by the entry point group `spike_ctrl.verbs`, whose names are verbs and whose values
are modules of this shape. Modules whose names begin with an underscore are no verbs.
"""
