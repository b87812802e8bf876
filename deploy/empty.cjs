'use strict'
// Empties a bucket. `s3` calls S3: (method, parameters).

// A directory bucket has no versions, and does not know the question.
const isDirectory = (Bucket) => Bucket.endsWith('--x-s3')

async function nextObjects(s3, Bucket) {
  if (isDirectory(Bucket)) {
    const { Contents = [] } = await s3('listObjectsV2', { Bucket, MaxKeys: 1000 })
    return Contents.map(({ Key }) => ({ Key }))
  }
  const page = await s3('listObjectVersions', { Bucket, MaxKeys: 1000 })
  return [...(page.Versions || []), ...(page.DeleteMarkers || [])].map(({ Key, VersionId }) => ({ Key, VersionId }))
}

async function deleteObjects(s3, Bucket) {
  let deleted = 0
  for (;;) {
    const Objects = await nextObjects(s3, Bucket)
    if (Objects.length === 0) return deleted
    const answer = await s3('deleteObjects', { Bucket, Delete: { Objects, Quiet: true } })
    if (answer.Errors && answer.Errors.length > 0) {
      const { Key, Code, Message } = answer.Errors[0]
      throw new Error(`cannot empty bucket ${Bucket}: ${Key}: ${Code} ${Message}`)
    }
    deleted += Objects.length
  }
}

async function abortUploads(s3, Bucket) {
  let aborted = 0
  for (;;) {
    const { Uploads = [] } = await s3('listMultipartUploads', { Bucket })
    if (Uploads.length === 0) return aborted
    for (const { Key, UploadId } of Uploads) await s3('abortMultipartUpload', { Bucket, Key, UploadId })
    aborted += Uploads.length
  }
}

// How many objects, versions and unfinished uploads were there.
async function emptyBucket(s3, Bucket) {
  return (await deleteObjects(s3, Bucket)) + (await abortUploads(s3, Bucket))
}

module.exports = { emptyBucket }
