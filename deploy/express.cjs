'use strict'
// A directory bucket of S3 Express One Zone for what ranks exchange as objects (--param expressZone=use1-az4): faster, in
// one availability zone. All else stays in the stage's bucket.
const refusal = require('./refusal.cjs')

const ZONE = /^[a-z]{2,4}[0-9]-az[0-9]+$/
// What a run that crashed has left; each run removes its own.
const EXPIRE_DAYS = 1

function bucket(zone) {
  return {
    Type: 'AWS::S3Express::DirectoryBucket',
    Properties: {
      // Named by CloudFormation: a name must end with the zone, and is fixed.
      LocationName: zone,
      DataRedundancy: 'SingleAvailabilityZone',
      LifecycleConfiguration: {
        Rules: [{ Id: 'runs-expire', Prefix: 'runs/', Status: 'Enabled', ExpirationInDays: EXPIRE_DAYS }],
      },
    },
  }
}

// Directory buckets refuse plain HTTP by themselves: their endpoints have HTTPS only. Their lifecycle rules act as a service
// that must be let in.
const policy = {
  Type: 'AWS::S3Express::BucketPolicy',
  Properties: {
    Bucket: { Ref: 'ExpressBucket' },
    PolicyDocument: {
      Version: '2012-10-17',
      Statement: [
        {
          Sid: 'Expire',
          Effect: 'Allow',
          Principal: { Service: 'lifecycle.s3.amazonaws.com' },
          Action: 's3express:CreateSession',
          Resource: { 'Fn::GetAtt': ['ExpressBucket', 'Arn'] },
          Condition: {
            StringEquals: { 's3express:SessionMode': 'ReadWrite', 'aws:SourceAccount': { Ref: 'AWS::AccountId' } },
          },
        },
      ],
    },
  },
}

async function zoneOf(resolveVariable) {
  const zone = String(await resolveVariable('param:expressZone'))
  if (zone === 'off') return ''
  if (!ZONE.test(zone)) throw refusal(`--param expressZone: expected off, or the id of an availability zone such as use1-az4, got ${zone}`)
  return zone
}

module.exports = async ({ resolveVariable }) => {
  const zone = await zoneOf(resolveVariable)
  return {
    name: zone ? { Ref: 'ExpressBucket' } : '',
    resources: zone ? { Resources: { ExpressBucket: bucket(zone), ExpressBucketPolicy: policy } } : {},
  }
}
module.exports.zoneOf = zoneOf
