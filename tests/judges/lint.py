"""Has pkilint read responses: lint.py FOLDER..., each with a response.der. Findings of severity
WARNING and above are errors. One process for all, because pkilint takes half a second to start."""

import contextlib
import io
import sys

from pkilint.bin import lint_ocsp_response

refused = 0
for folder in sys.argv[1:]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        arguments = ["lint", "--severity", "WARNING", "--document-format", "DER"]
        findings = lint_ocsp_response.main([*arguments, f"{folder}/response.der"])
    if findings:
        refused += 1
        print(f"REFUSED by pkilint: {folder}: {said.getvalue()}", file=sys.stderr)
print(f"pkilint: {len(sys.argv) - 1} responses")
sys.exit(refused > 0)
