"""Kinds of tool servers, each a module (`turnwise.tools.server`); they are loaded in the processes of servers."""
