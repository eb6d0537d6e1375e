"""Text: messages to a prompt, text to tokens, tokens to text.

`prompt` makes token ids from a request, by `chat_template` and `tokenizer`; `detokenizer` makes text from generated
ids. What messages say is never taken for a model's special tokens (`marked_text`, `special_tokens`). Start reading at
`prompt`.
"""
