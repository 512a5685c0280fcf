#!/usr/bin/python3
"""Statuses for `staplerd responder --status-command examples/status.py`."""
import json, sys
from datetime import datetime


def validate(serial):  # ocspresponder's validate_func, as it is
    if serial == 0x03A2EF:
        return "good", None
    if serial == 0x05:
        return "revoked", datetime(2026, 1, 15, 12)
    return "unknown", None


for line in sys.stdin:
    question = json.loads(line)
    status, since = validate(int(question["serial"], 16))
    answer = {"serial": question["serial"], "status": getattr(status, "value", status)}
    if since:
        answer["revoked_at"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
    print(json.dumps(answer), flush=True)
