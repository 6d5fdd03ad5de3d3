// Puts records through the AWS SDK for JavaScript v3, and says which were taken, in order.
//
// Reads and writes the same as put.py. The client of Kinesis speaks HTTP/2 by prior knowledge, that of
// Firehose HTTP/1.1, as they do by default.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.env.WEIR_TEST_CLIENTS + "/");
const asked = JSON.parse(readFileSync(0, "utf8"));
const settings = {
  endpoint: asked.endpoint,
  region: "eu-west-1",
  credentials: { accessKeyId: asked.key, secretAccessKey: asked.secret },
  maxAttempts: asked.attempts ?? 3,
};
const isKinesis = asked.service === "kinesis";
const sdk = require(isKinesis ? "@aws-sdk/client-kinesis" : "@aws-sdk/client-firehose");
const client = isKinesis ? new sdk.KinesisClient(settings) : new sdk.FirehoseClient(settings);

const entry = ([data, key, hashKey]) => ({
  Data: Buffer.from(data, "base64"),
  ...(key === null ? {} : { PartitionKey: key }),
  ...(hashKey === null ? {} : { ExplicitHashKey: hashKey }),
});

async function putMany(entries) {
  if (isKinesis) {
    const answer = await client.send(
      new sdk.PutRecordsCommand({ StreamName: asked.stream, Records: entries }),
    );
    return [answer.Records, answer.FailedRecordCount, "SequenceNumber"];
  }
  const answer = await client.send(
    new sdk.PutRecordBatchCommand({ DeliveryStreamName: asked.stream, Records: entries }),
  );
  return [answer.RequestResponses, answer.FailedPutCount, "RecordId"];
}

async function putOne(one) {
  if (isKinesis) {
    const answer = await client.send(
      new sdk.PutRecordCommand({ StreamName: asked.stream, ...one }),
    );
    return answer.SequenceNumber;
  }
  const answer = await client.send(
    new sdk.PutRecordCommand({ DeliveryStreamName: asked.stream, Record: { Data: one.Data } }),
  );
  return answer.RecordId;
}

const told = [];
const calls = [];
let left = asked.records.map(entry);
if (asked.form === "one") {
  for (const one of left) told.push(await putOne(one));
} else {
  while (left.length > 0) {
    const batch = left.splice(0, 500);
    const [results, failed, name] = await putMany(batch);
    const taken = batch.length - failed;
    // Nothing overtakes what is held back.
    const isTaken = results.every((one, at) => (one[name] !== undefined) === (at < taken));
    if (results.length !== batch.length || !isTaken) {
      throw new Error(JSON.stringify({ results, failed }));
    }
    told.push(...results.slice(0, taken).map((one) => one[name]));
    calls.push([taken, failed]);
    left = [...batch.slice(taken), ...left];
  }
}
client.destroy();
process.stdout.write(JSON.stringify({ told, calls }));
