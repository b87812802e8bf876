'use strict'
// Lanes are part of the stack: one topic, a queue per rank, a subscription each with a static filter by slot, one policy
// for the lane's queues. Not made on demand, because SNS takes up to 15 minutes to apply a filter policy.

const refusal = require('./refusal.cjs')

// CloudFormation's limit is 500 resources a stack; functions, roles, layer and bucket take fewer than 50.
const MAX_RESOURCES = 450
const OTHER_RESOURCES = 50

function positive(name, text) {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw refusal(`--param ${name}: expected a whole number >= 1, got ${text}`)
  return value
}

function queue(service, lane, slot) {
  return {
    Type: 'AWS::SQS::Queue',
    Properties: {
      QueueName: `${service}-lane-${lane}-slot-${slot}`,
      // Seconds. A run lasts 15 minutes at the most; what is older belongs to nobody.
      MessageRetentionPeriod: 3600,
      // Received and not deleted for so long: who had it is dead, or slow and drops the second copy. runs/drain.py waits.
      VisibilityTimeout: 20,
      ReceiveMessageWaitTimeSeconds: 20,
      SqsManagedSseEnabled: true,
    },
  }
}

function subscription(topic, queueId, filter, scope) {
  return {
    Type: 'AWS::SNS::Subscription',
    Properties: {
      TopicArn: { Ref: topic },
      Protocol: 'sqs',
      Endpoint: { 'Fn::GetAtt': [queueId, 'Arn'] },
      RawMessageDelivery: true,
      FilterPolicyScope: scope,
      FilterPolicy: filter,
    },
  }
}

// It is read for each delivery to a queue: so it names them together.
function policy(service, lane, queueIds) {
  return {
    Type: 'AWS::SQS::QueuePolicy',
    Properties: {
      Queues: queueIds.map((id) => ({ Ref: id })),
      PolicyDocument: {
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Allow',
            Principal: { Service: 'sns.amazonaws.com' },
            Action: 'sqs:SendMessage',
            Resource: {
              'Fn::Sub': `arn:\${AWS::Partition}:sqs:\${AWS::Region}:\${AWS::AccountId}:${service}-lane-${lane}-slot-*`,
            },
            Condition: { ArnEquals: { 'aws:SourceArn': [{ Ref: `Lane${lane}Topic` }, { Ref: 'FailureTopic' }] } },
          },
        ],
      },
    },
  }
}

// SNS' own default lets every principal of the account publish and subscribe, whatever IAM says of it; this leaves it to IAM.
function topicPolicy(topic) {
  return {
    Type: 'AWS::SNS::TopicPolicy',
    Properties: {
      Topics: [{ Ref: topic }],
      PolicyDocument: {
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Allow',
            Principal: { AWS: { 'Fn::Sub': 'arn:${AWS::Partition}:iam::${AWS::AccountId}:root' } },
            Action: 'sns:Publish',
            Resource: { Ref: topic },
          },
        ],
      },
    },
  }
}

function laneResources(service, lane, ranks) {
  const topic = `Lane${lane}Topic`
  const ids = Array.from({ length: ranks }, (_, slot) => `Lane${lane}Queue${slot}`)
  const resources = { [topic]: { Type: 'AWS::SNS::Topic', Properties: { TopicName: `${service}-lane-${lane}` } } }
  ids.forEach((id, slot) => {
    resources[id] = queue(service, lane, slot)
    resources[`Lane${lane}Subscription${slot}`] = subscription(topic, id, { slot: [String(slot)] }, 'MessageAttributes')
  })
  resources[`Lane${lane}Policy`] = policy(service, lane, ids)
  resources[`${topic}Policy`] = topicPolicy(topic)
  // Lambda's OnFailure record of a dead worker reaches rank 0 of the run that holds the lane.
  resources[`Lane${lane}Failures`] = subscription(
    'FailureTopic',
    ids[0],
    { requestPayload: { lane: [lane] } },
    'MessageBody',
  )
  return resources
}

module.exports = async ({ resolveVariable }) => {
  const lanes = positive('lanes', await resolveVariable('param:lanes'))
  const ranks = positive('ranks', await resolveVariable('param:ranks'))
  const service = `${await resolveVariable('self:service')}-${await resolveVariable('sls:stage')}`
  const Resources = Object.assign({}, ...Array.from({ length: lanes }, (_, lane) => laneResources(service, lane, ranks)))
  const count = Object.keys(Resources).length + OTHER_RESOURCES
  if (count > MAX_RESOURCES) {
    throw refusal(
      `lanes x ranks too large: ${lanes} x ${ranks} makes about ${count} stack resources, at most ${MAX_RESOURCES} fit`,
    )
  }
  return { Resources: { ...Resources, FailureTopicPolicy: topicPolicy('FailureTopic') } }
}
