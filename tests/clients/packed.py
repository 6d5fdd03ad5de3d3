"""Does what the Kinesis Producer Library does: learns the shards, predicts where each record goes, packs those that go
together into one record, and puts it under the hash of the first.

Its rules about a map of shards are in shard_map.cc of the library: pages of up to 1,000 by NextToken alone, ids that end in a
number, and the first shard whose end is not below the hash. Packing is by aws_kinesis_agg.
Reads a JSON object: endpoint, stream, key, secret, page (how many shards it asks for at once), records ([data in base64, partition key]); writes the map,
and the packed records in base64.
"""

import base64
import bisect
import hashlib
import json
import sys

import boto3
from aws_kinesis_agg.aggregator import AggRecord

asked = json.load(sys.stdin)
client = boto3.client(
    "kinesis",
    endpoint_url=asked["endpoint"],
    region_name="eu-west-1",
    aws_access_key_id=asked["key"],
    aws_secret_access_key=asked["secret"],
)

found = {"NextToken": None}
pages = []
while "NextToken" in found:
    latest = {"StreamName": asked["stream"], "ShardFilter": {"Type": "AT_LATEST"}}
    of = {"NextToken": found["NextToken"]} if pages else latest
    found = client.list_shards(MaxResults=asked["page"], **of)
    pages.append(found["Shards"])

shards = []
for shard in [shard for page in pages for shard in page]:
    bounds = shard["HashKeyRange"]
    start, end = int(bounds["StartingHashKey"]), int(bounds["EndingHashKey"])
    name, number = shard["ShardId"].split("-", 1)
    assert name == "shardId" and len(number) == 12, shard
    assert "EndingSequenceNumber" not in shard["SequenceNumberRange"], f"a closed one: {shard}"
    shards.append((end, int(number), start))
shards.sort()
assert len({number for _, number, _ in shards}) == len(shards), shards
assert shards[0][2] == 0 and shards[-1][0] == 2**128 - 1, shards
for (end, _, _), (_, _, start) in zip(shards, shards[1:]):
    assert start == end + 1, shards

ends = [end for end, _, _ in shards]
packed = {}
for data, key in asked["records"]:
    hash_key = int.from_bytes(hashlib.md5(key.encode()).digest(), "big")
    place = bisect.bisect_left(ends, hash_key)
    aggregate, _ = packed.setdefault(place, (AggRecord(), hash_key))
    assert aggregate.add_user_record(key, base64.b64decode(data))

entries = [
    {"Data": aggregate.get_contents()[2], "PartitionKey": "a", "ExplicitHashKey": str(first)}
    for aggregate, first in packed.values()
]
answer = client.put_records(StreamName=asked["stream"], Records=entries)
assert answer["FailedRecordCount"] == 0, answer
for entry, told in zip(entries, answer["Records"]):
    place = bisect.bisect_left(ends, int(entry["ExplicitHashKey"]))
    assert int(told["ShardId"].split("-")[1]) == shards[place][1], (entry["ExplicitHashKey"], told, shards)
blobs = [base64.b64encode(entry["Data"]).decode() for entry in entries]
json.dump({"pages": len(pages), "shards": len(shards), "packed": blobs}, sys.stdout)
