"""Requests to models, checked, and their replies.

A request is untrusted text of an agent: what is wrong with it becomes a `Refusal`, which is a reply too. There is a
module for each effect (`generate_request`, `infer_request`, `embed_request`); `fields` reads members with their bounds.
Runs in both processes, imports no other room, and of other libraries msgspec only.
"""
