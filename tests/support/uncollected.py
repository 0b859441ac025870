"""Imported first by a process that imports a lot: nothing that imports make is garbage, so nothing is collected."""

import gc

gc.disable()
