"""A server that speaks the OpenAI API, on the inference process that worlds use.

From the bottom: `api_error` and `parameters` (a request's members, each read once), then the parts of requests and
answers (`sampling`, `messages`, `response_format`, `tools`, `logprobs`), `dispatcher` (who waits for which answer), the
module of each path (`chat_completions`, `completions`, `embeddings`, `responses`), and what speaks HTTP: `wire`,
`gate`, `event_stream`, `app`, `server`. Start reading at `app`. `conversation` is for the terminal.

No module here imports numpy or ONNX Runtime; those that speak HTTP import starlette and uvicorn, the extra `serve`.
"""
