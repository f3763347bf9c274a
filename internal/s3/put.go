package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// partSize is how much of a document is in memory at once, in bytes. S3 takes
// parts from 5 MiB on, and up to 10,000 of them. It is never streamed in one
// request, as that could not be repeated.
const partSize = 8 << 20

// Put implements record.Archive. A document of more than partSize is put in parts
// that S3 joins at the end; the bucket's lifecycle removes the parts of one that
// could not be ended.
func (a *Archive) Put(ctx context.Context, key string, doc io.Reader, size int64) error {
	if !isKey(key) {
		return fmt.Errorf("put into the archive: %q is no key", key)
	}
	err := ctx.Err()
	if err == nil && size <= partSize {
		err = a.putWhole(ctx, a.at.Prefix+key, doc, size)
	} else if err == nil {
		err = a.putParts(ctx, a.at.Prefix+key, doc, size)
	}
	if err != nil {
		return fmt.Errorf("put %s into the archive %s: %w", key, a.at, err)
	}
	return nil
}

func (a *Archive) putWhole(ctx context.Context, key string, doc io.Reader, size int64) error {
	content, err := part(doc, make([]byte, size))
	if err == nil {
		err = ended(doc)
	}
	if err != nil {
		return err
	}
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	in := &sdk.PutObjectInput{Bucket: &a.at.Bucket, Key: &key, Body: content, ContentLength: &size, ContentType: aws.String(contentType)}
	if a.kmsKey != "" {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &a.kmsKey
	}
	_, err = a.api.PutObject(ctx, in)
	return a.explain(ctx, err)
}

// contentType is what documents are, so that no browser mistakes one for a page.
const contentType = "application/octet-stream"

func (a *Archive) putParts(ctx context.Context, key string, doc io.Reader, size int64) (err error) {
	upload, err := a.beginParts(ctx, key)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.abort(ctx, key, upload))
		}
	}()
	var parts []types.CompletedPart
	buffer := make([]byte, partSize)
	for left := size; left > 0; left -= partSize {
		content, err := part(doc, buffer[:min(left, partSize)])
		if err != nil {
			return err
		}
		done, err := a.putPart(ctx, key, upload, int32(len(parts)+1), content)
		if err != nil {
			return err
		}
		parts = append(parts, done)
	}
	if err := ended(doc); err != nil {
		return err
	}
	return a.endParts(ctx, key, upload, parts)
}

func (a *Archive) beginParts(ctx context.Context, key string) (upload *string, err error) {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	in := &sdk.CreateMultipartUploadInput{
		Bucket: &a.at.Bucket, Key: &key, ContentType: aws.String(contentType),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	}
	if a.kmsKey != "" {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &a.kmsKey
	}
	out, err := a.api.CreateMultipartUpload(ctx, in)
	if err != nil {
		return nil, a.explain(ctx, err)
	}
	return out.UploadId, nil
}

func (a *Archive) putPart(ctx context.Context, key string, upload *string, n int32, content io.ReadSeeker) (types.CompletedPart, error) {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	out, err := a.api.UploadPart(ctx, &sdk.UploadPartInput{
		Bucket: &a.at.Bucket, Key: &key, UploadId: upload, PartNumber: &n, Body: content,
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	})
	if err != nil {
		return types.CompletedPart{}, a.explain(ctx, err)
	}
	return types.CompletedPart{PartNumber: &n, ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32}, nil
}

func (a *Archive) endParts(ctx context.Context, key string, upload *string, parts []types.CompletedPart) error {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	_, err := a.api.CompleteMultipartUpload(ctx, &sdk.CompleteMultipartUploadInput{
		Bucket: &a.at.Bucket, Key: &key, UploadId: upload, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	return a.explain(ctx, err)
}

// abort gives up the parts that were put, also when the caller has gone.
func (a *Archive) abort(ctx context.Context, key string, upload *string) error {
	ctx, cancel := a.bounded(context.WithoutCancel(ctx))
	defer cancel()
	_, err := a.api.AbortMultipartUpload(ctx, &sdk.AbortMultipartUploadInput{Bucket: &a.at.Bucket, Key: &key, UploadId: upload})
	return a.explain(ctx, err)
}

// part reads as much of a document as the buffer holds.
func part(doc io.Reader, buffer []byte) (*bytes.Reader, error) {
	_, err := io.ReadFull(doc, buffer)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = errors.New("the document is shorter than was said")
	}
	return bytes.NewReader(buffer), err
}

// ended checks that a document has been read whole.
func ended(doc io.Reader) error {
	n, err := io.ReadFull(doc, make([]byte, 1))
	if n > 0 {
		return errors.New("the document is longer than was said")
	}
	if err == io.EOF {
		return nil
	}
	return err
}
