"""Evidence: a run as one file that somebody else can check, offline, on another machine.

`bundle` writes one, `opened` reads it: a ZIP of one exact form (`archive`), whose members a `statement` names with
their SHA-256. A `signature` is an Ed25519 signature of that statement in a DSSE envelope. `verify` executes the run of
a bundle again. `redact` and `compact` make journals that hold less, with the same head.

A bundle is a stranger's data. Nothing of it is unpacked but what was compared with its digest, nothing is executed but
WebAssembly in a sandbox, and models are loaded where models are loaded.
"""
