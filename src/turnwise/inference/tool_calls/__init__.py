"""Calls of tools: how a model is told of tools, the grammar of what it may answer, and the calls in what it has said.

A model whose chat template shows tools is told of them by it, and its calls have the form that the template writes
(`ModelInfo.tools`). For any other model the words and the form are `OWN_FORM`, which many models were trained on.
Either way a call that has begun can only be one of the tools, with arguments that follow its schema.

`form_texts` has what the parts of a form mean, `conversation` makes messages as templates take them, `grammar` the
grammar of an answer, `call_parser` finds calls in its text, and `told_request` puts these together for a request.
"""
