"""Answers to the page's questions: each module has functions that make JSON values of a journal, with bounds."""
