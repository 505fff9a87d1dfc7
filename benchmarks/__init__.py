"""Every loss side by side with what one would use instead: time, memory, and the error against float64.

pip install -e ".[bench]"
python -m benchmarks                                   # every suite, with every peer that is installed
python -m benchmarks ctc --only "500, 32" --json benchmarks/results
python -m benchmarks --page                            # docs/benchmarks.md from benchmarks/results
"""
