"""Takes aggregated Kinesis records apart with an implementation that is not weir's.

Reads a JSON list of [data in base64, partition key, [first hash, last hash]]; writes a JSON list of
[index of the entry, data in base64, partition key, explicit hash key, whether it came in an
aggregate]. As the official consumer does, it drops records of an aggregate whose hash is not the shard's.
"""

import base64
import hashlib
import json
import sys

from aws_kinesis_agg.deaggregator import deaggregate_records


def event(data, key):
    kinesis = {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": key,
        "sequenceNumber": "1",
        "data": data,
        "approximateArrivalTimestamp": 1.0,
    }
    return {"kinesis": kinesis, "eventSource": "aws:kinesis", "eventID": "1", "eventVersion": "1.0",
            "eventName": "aws:kinesis:record", "invokeIdentityArn": "arn", "awsRegion": "us-east-1",
            "eventSourceARN": "arn"}


told = []
for index, (data, key, (first, last)) in enumerate(json.load(sys.stdin)):
    for found in deaggregate_records([event(data, key)]):
        record = found["kinesis"]
        aggregated = bool(record.get("aggregated"))
        explicit = record.get("explicitHashKey")
        own = int.from_bytes(hashlib.md5(record["partitionKey"].encode()).digest(), "big")
        hash_key = int(explicit) if explicit else own
        if aggregated and not int(first) <= hash_key <= int(last):
            continue
        data_back = record["data"]
        if isinstance(data_back, bytes):
            data_back = data_back.decode()
        told.append([index, data_back, record["partitionKey"], explicit, aggregated])
json.dump(told, sys.stdout)
