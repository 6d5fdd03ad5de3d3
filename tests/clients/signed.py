"""Sends requests that botocore signed, some of them changed after that, and says what was answered.

Reads a JSON object: url, ca (a file, or null) and requests, a list of objects: target, kind (the content type), body,
service, key, secret; and, where they matter, token (of a session), presigned (seconds), unsigned (leaves the body out of the
signature), late (seconds by which the signer's clock is slow), then (headers and body to change behind its back).
"""

import datetime
import http.client
import json
import ssl
import sys
from urllib.parse import urlsplit

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

asked = json.load(sys.stdin)
real_now = botocore.auth.get_current_datetime


def signed(one):
    late = datetime.timedelta(seconds=one.get("late", 0))
    botocore.auth.get_current_datetime = lambda *rest: real_now(*rest) - late
    headers = {"X-Amz-Target": one["target"], "Content-Type": one["kind"]}
    request = AWSRequest("POST", asked["url"], headers=headers, data=one["body"].encode())
    credentials = Credentials(one["key"], one["secret"], one.get("token"))
    scope = (credentials, one["service"], "eu-west-1")
    if one.get("unsigned"):
        request.context["client_config"] = Config(s3={"payload_signing_enabled": False})
        signer = botocore.auth.S3SigV4Auth(*scope)
    elif one.get("presigned"):
        signer = botocore.auth.SigV4QueryAuth(*scope, expires=one["presigned"])
    else:
        signer = botocore.auth.SigV4Auth(*scope)
    signer.add_auth(request)
    return request


def send(one):
    request = signed(one)
    then = one.get("then", {})
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers |= then.get("headers", {})
    body = then["body"].encode() if "body" in then else request.data
    at = urlsplit(request.url)
    if at.scheme == "https":
        trusted = ssl.create_default_context(cafile=asked["ca"])
        connection = http.client.HTTPSConnection(at.netloc, timeout=60, context=trusted)
    else:
        connection = http.client.HTTPConnection(at.netloc, timeout=60)
    target = f"{at.path}?{at.query}" if at.query else at.path
    kept = {name: value for name, value in headers.items() if value is not None}
    connection.request("POST", target, body, kept)
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    found = [[name.lower(), value] for name, value in answer.getheaders()]
    return {"status": answer.status, "headers": found, "body": said}


json.dump([send(one) for one in asked["requests"]], sys.stdout)
