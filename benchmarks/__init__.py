"""Parts of ``tools/analysis_tools/benchmark.py``."""
