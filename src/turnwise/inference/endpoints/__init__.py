"""Models behind a URL: asked over HTTP by a process of their own, which has the keys and nothing else of the run."""
