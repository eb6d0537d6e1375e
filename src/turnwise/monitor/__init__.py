"""The monitor: a page that shows runs, served by a process of its own that can only read.

It opens journals read-only and in short reads; there is no path by which it could write to a run, answer it, or make it
wait. `shown.py` finds the runs that it was given, `reader.py` reads one of them on a thread, the modules in `answers`
make what the page asks for, `access.py` decides who may ask, and `application.py` puts that together. `page` holds the
page itself: plain HTML, CSS and ES modules, as they are sent.
"""
