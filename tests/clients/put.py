"""Puts records through boto3, and says which were taken, in order.

Reads a JSON object: endpoint, service, stream, form ("many" or "one"), key and secret, and records, a list
of [data in base64, partition key or null, explicit hash key or null]. What is held back is put again, as
an application has to; whole calls are repeated by botocore, by its own policy.
"""

import base64
import json
import sys

import boto3
from botocore.config import Config

asked = json.load(sys.stdin)
retries = Config(
    retries={"mode": "standard", "max_attempts": asked.get("attempts", 3)}, read_timeout=60
)
client = boto3.client(
    asked["service"],
    endpoint_url=asked["endpoint"],
    region_name="eu-west-1",
    aws_access_key_id=asked["key"],
    aws_secret_access_key=asked["secret"],
    config=retries,
)


def entry(record):
    data, key, hash_key = record
    entry = {"Data": base64.b64decode(data)}
    if key is not None:
        entry["PartitionKey"] = key
    if hash_key is not None:
        entry["ExplicitHashKey"] = hash_key
    return entry


def put_many(entries):
    if asked["service"] == "kinesis":
        answer = client.put_records(StreamName=asked["stream"], Records=entries)
        return answer["Records"], answer["FailedRecordCount"], "SequenceNumber"
    answer = client.put_record_batch(DeliveryStreamName=asked["stream"], Records=entries)
    return answer["RequestResponses"], answer["FailedPutCount"], "RecordId"


def put_one(entry):
    if asked["service"] == "kinesis":
        answer = client.put_record(StreamName=asked["stream"], **entry)
        return answer["SequenceNumber"]
    return client.put_record(DeliveryStreamName=asked["stream"], Record=entry)["RecordId"]


told, calls = [], []
left = [entry(record) for record in asked["records"]]
if asked["form"] == "one":
    told = [put_one(one) for one in left]
else:
    while left:
        batch, left = left[:500], left[500:]
        results, failed, name = put_many(batch)
        assert len(results) == len(batch), (len(results), len(batch))
        assert failed == sum(name not in one for one in results), results
        taken = len(batch) - failed
        assert all(name in one for one in results[:taken]), "nothing overtakes what is held back"
        told += [one[name] for one in results[:taken]]
        calls.append([taken, failed])
        left = batch[taken:] + left
json.dump({"told": told, "calls": calls}, sys.stdout)
