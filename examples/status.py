#!/usr/bin/python3
"""Statuses for `staplerd responder --status-command examples/status.py`."""
import json, sys
from datetime import datetime, timezone
from enum import Enum

# In place of: from ocspresponder import CertificateStatus
CertificateStatus = Enum("CertificateStatus", {word: word for word in ["good", "key_compromise", "unknown"]})


def validate(serial):  # ocspresponder's validate_func, as it is
    if serial == 0x03A2EF:
        return CertificateStatus.good, None
    if serial == 0x05:
        return CertificateStatus.key_compromise, datetime(2026, 1, 15, 12, tzinfo=timezone.utc)
    return CertificateStatus.unknown, None


for line in sys.stdin:
    question = json.loads(line)
    status, since = validate(int(question["serial"], 16))
    answer = {"serial": question["serial"], "status": status.value}
    if since:  # the status may name the reason
        answer.update(status="revoked", revoked_at=since.astimezone(timezone.utc).isoformat())
        if status.value != "revoked":
            answer["reason"] = status.value
    print(json.dumps(answer), flush=True)
