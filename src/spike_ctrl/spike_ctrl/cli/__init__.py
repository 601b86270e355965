"""The command line, `spike-ctrl VERB`. One file is one verb, and a new file here is a new verb.

A verb is a module of the shape that CONTRIBUTING.md tells. Modules whose names begin with an underscore are no verbs.
"""
