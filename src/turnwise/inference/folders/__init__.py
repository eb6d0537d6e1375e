"""Model folders: what lies on disk, checked before anything is loaded.

A folder is data that is not trusted: nothing in it is executed, and no file outside it is opened (`files`).
`model_folder` reads a language model's, in one of the `layouts`; `embedding_folder` an encoder's; `variants` chooses
among graphs; `hub` downloads. Imports `onnx` and `plans`. Start reading at `model_folder`.
"""
